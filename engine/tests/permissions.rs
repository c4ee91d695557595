//! What permissions open, tried with real servers and clients, and with a host that is made up where no machine has the hardware.

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::process::Command;

use support::session::Session;
use support::{Place, Ran, Who, everybody};

/// An image with the host's programs in it.
fn with_clients(who: Who) -> Place {
    let place = Place::blueprint(who);
    for directory in ["/usr", "/lib", "/lib64", "/bin"] {
        place.succeed(&["fim-bind", "add", "ro", directory, directory]);
    }
    place
}

/// Runs a script of the host after `before`, with the image as `$1`, in mounts of its own.
fn on_host(place: &Place, before: &str, script: &str) -> Ran {
    let image = place.image.to_string_lossy().into_owned();
    let mut command: Command = place.after(before, "bash", &["-c", script, "host", &image]);
    command.env(
        "XDG_RUNTIME_DIR",
        place.home().join(".cache/flatimage/session"),
    );
    Ran::of(command)
}

/// What the scripts have in common: `wait_for` waits for what a server makes, and what was started ends with the script.
const COMMON: &str = r#"
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
wait_for() { for _ in $(seq 200); do [ -e "$1" ] && return; sleep 0.05; done; echo "no $1"; exit 1; }
can() { local how=$1; shift; for how in $how; do "$image" "$how" "$@" >/dev/null 2>&1 && echo "$how yes" || echo "$how no"; done; }
image=$1
mkdir -p "$XDG_RUNTIME_DIR" && chmod 700 "$XDG_RUNTIME_DIR" && cd "$XDG_RUNTIME_DIR" || exit
"#;

const BOTH: &str = "fim-exec no\nfim-root no\nfim-exec yes\nfim-root yes\n";

#[test]
fn x_clients_reach_the_display_with_its_keys_and_not_without() {
    // Nobody else's displays are in the way.
    let before = "mkdir -p /tmp/.X11-unix && mount -t tmpfs -o mode=1777 none /tmp/.X11-unix";
    let script = r#"
cookie=0123456789abcdef
{ printf '\377\377\0\0\0\0\0\022MIT-MAGIC-COOKIE-1\0\020%s' $cookie; } > ~/auth
chmod 600 ~/auth
Xvfb :7 -screen 0 64x64x8 -nolisten tcp -auth ~/auth >/dev/null 2>&1 &
wait_for /tmp/.X11-unix/X7
export DISPLAY=:7
"$image" fim-perms add xorg; can fim-exec xdpyinfo; "$image" fim-perms clear
export XAUTHORITY=$HOME/auth
can 'fim-exec fim-root' xdpyinfo
"$image" fim-perms add xorg
can 'fim-exec fim-root' xdpyinfo
rm ~/auth
"#;
    let existed = std::path::Path::new("/tmp/.X11-unix").exists();
    for who in everybody() {
        let place = with_clients(who);
        let ran = on_host(&place, before, &format!("{COMMON}{script}"));
        // Without the keys the display is there and refuses.
        assert_eq!(ran.out, format!("fim-exec no\n{BOTH}"), "{ran:?}");
        place.assert_clean();
    }
    if !existed {
        let _ = std::fs::remove_dir("/tmp/.X11-unix");
    }
}

#[test]
fn wayland_clients_reach_the_compositor_and_not_without() {
    let script = r#"
weston --backend=headless-backend.so --socket=wayland-test --no-config --idle-time=0 >/dev/null 2>&1 &
wait_for $XDG_RUNTIME_DIR/wayland-test
export WAYLAND_DISPLAY=wayland-test
can 'fim-exec fim-root' wayland-info
"$image" fim-perms add wayland
can 'fim-exec fim-root' wayland-info
WAYLAND_DISPLAY=$XDG_RUNTIME_DIR/wayland-test can fim-exec wayland-info
kill %1; wait; rm -rf ~/.config ~/.cache/fontconfig ~/.cache/mesa_shader_cache
"#;
    for who in everybody() {
        let place = with_clients(who);
        let ran = on_host(&place, "true", &format!("{COMMON}{script}"));
        assert_eq!(ran.out, format!("{BOTH}fim-exec yes\n"), "{ran:?}");
        place.assert_clean();
    }
}

#[test]
fn sound_clients_reach_their_servers_and_not_without() {
    let script = r#"
pulseaudio -n --daemonize=no --exit-idle-time=-1 --use-pid-file=no -L module-null-sink -L "module-native-protocol-unix $2" >/dev/null 2>&1 &
wait_for $XDG_RUNTIME_DIR/pulse/native
can 'fim-exec fim-root' pactl info
"$image" fim-perms add audio
can 'fim-exec fim-root' pactl info
kill %1; wait
# Of the other server only where it listens.
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("pipewire-0")'
"$image" fim-exec bash -c 'test -S $PIPEWIRE_RUNTIME_DIR/pipewire-0 && echo there'
rm -rf ~/.config ~/.pulse*
"#;
    for who in everybody() {
        let place = with_clients(who);
        // Whoever has another id on the host is a stranger to the server.
        let anonymous = match nix::unistd::geteuid().is_root() && who == Who::Caller {
            true => "auth-anonymous=1",
            false => "",
        };
        let script = format!("{COMMON}{script}").replace("$2", anonymous);
        let ran = on_host(&place, "true", &script);
        assert_eq!(ran.out, format!("{BOTH}there\n"), "{ran:?}");
        place.assert_clean();
    }
}

#[test]
fn the_bus_of_the_system_answers_and_not_without() {
    let script = r#"
ask() { can fim-exec gdbus call --system --dest org.freedesktop.DBus --object-path / --method org.freedesktop.DBus.ListNames; }
ask
"$image" fim-perms add dbus_system
ask
"#;
    let bus = Session::start(false);
    let address = bus.address();
    let socket = address.trim_start_matches("unix:path=");
    let before = format!(
        "mount -t tmpfs none /run && mkdir /run/dbus && cd /run/dbus && touch system_bus_socket && \
         mount --bind {} system_bus_socket && cd /",
        socket.split(',').next().unwrap_or(socket)
    );
    for who in everybody() {
        // A bus wants to know of its clients who they are on the host, and real root's containers are others there.
        if nix::unistd::geteuid().is_root() && who == Who::Caller {
            continue;
        }
        let place = with_clients(who);
        let ran = on_host(&place, &before, &format!("{COMMON}{script}"));
        assert_eq!(ran.out, "fim-exec no\nfim-exec yes\n", "{ran:?}");
        place.assert_clean();
    }
}

#[test]
fn servers_of_the_host_are_reached_with_its_network_and_not_without() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let read = format!("read -r line < /dev/tcp/127.0.0.1/{port} && echo $line");
        let ran = place.run(&["fim-exec", "bash", "-c", &read]);
        assert_ne!(ran.code, 0, "{ran:?}");
        assert!(!place.shell("ls /etc").contains("resolv.conf"));
        place.succeed(&["fim-perms", "add", "network"]);
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.write_all(b"served\n").unwrap();
        });
        assert_eq!(place.shell(&read), "served\n");
        server.join().unwrap();
        let configuration = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        assert_eq!(
            place.shell("cat /etc/resolv.conf 2>/dev/null; true"),
            configuration
        );
        place.assert_clean();
    }
}

/// A host that has everything: its devices are all `/dev/zero`.
const HOST: &str = "
mount -t tmpfs -o mode=755 none /srv && cd /srv &&
for name in null zero full random urandom tty fuse; do touch $name && mount --bind /dev/$name $name || exit; done &&
mkdir -p pts bus/usb/001 usb input dri snd && mkdir -m 1777 shm && echo theirs > shm/theirs && mount --rbind /dev/pts pts &&
for name in bus/usb/001/001 usb/hiddev0 input/event0 uinput dri/renderD128 kfd nvidia0 snd/timer dsp sr0 sg0; do
    touch $name && mount --bind /dev/zero $name || exit; done &&
mount --rbind /srv /dev && cd / &&
mount -t tmpfs none /run && mkdir -p /run/udev && echo known > /run/udev/data && mkdir -m 777 /run/media &&
mount -t tmpfs -o mode=777 none /media && mount -t tmpfs -o mode=777 none /mnt
";

/// Where permissions show something of that host.
const OPENED: [(&str, &[&str]); 8] = [
    ("media", &["/media", "/run/media", "/mnt"]),
    ("audio", &["/dev/snd/timer", "/dev/dsp"]),
    ("udev", &["/run/udev/data"]),
    ("usb", &["/dev/bus/usb/001/001", "/dev/usb/hiddev0"]),
    ("input", &["/dev/input/event0", "/dev/uinput"]),
    ("gpu", &["/dev/dri/renderD128", "/dev/kfd", "/dev/nvidia0"]),
    ("shm", &["/dev/shm/theirs"]),
    ("optical", &["/dev/sr0", "/dev/sg0"]),
];

/// Prints those of the paths that can be used for what they are.
const USABLE: &str = "for path; do
    if [ -d $path ]; then touch $path/new && rm $path/new
    else head -c 1 $path >/dev/null; fi 2>/dev/null && echo $path; done; true";

#[test]
fn each_permission_shows_its_devices_and_directories_and_no_others() {
    let all: Vec<&str> = OPENED
        .iter()
        .flat_map(|(_, paths)| *paths)
        .copied()
        .collect();
    let devices: Vec<&str> = all
        .iter()
        .copied()
        .filter(|path| path.starts_with("/dev/") && !path.starts_with("/dev/shm"))
        .collect();
    let nothing: (&str, &[&str]) = ("portal", &[]);
    let of_dev = ("dev", devices.as_slice());
    let of_all = ("all", all.as_slice());
    for who in everybody() {
        let place = Place::blueprint(who);
        for (permission, expected) in OPENED.into_iter().chain([nothing, of_dev, of_all]) {
            let script = format!(
                "image=$1; \"$image\" fim-perms set {permission}; \"$image\" fim-exec bash -c '{USABLE}' inside {}",
                all.join(" ")
            );
            let ran = on_host(&place, HOST, &script);
            let found: Vec<&str> = ran.out.lines().collect();
            assert_eq!(found, expected, "{who:?} {permission}: {ran:?}");
        }
        place.assert_clean();
    }
}
