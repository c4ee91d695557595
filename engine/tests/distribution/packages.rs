//! Package managers as root of a container, by everybody who can be that: with one id, with subordinate ids, and as real root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::support::compiled::compiled;
use super::support::ids::{forget, subordinate, with_ids};
use super::support::{Place, Ran, Who, everybody};

/// The distribution with the owners that its packages give.
fn distribution() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let options = deploy::Options {
            source: Some(super::archive().to_owned()),
            out: Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages"),
            level: 1,
            ..deploy::Options::new("debian")
        };
        deploy::build(&options, &mut ())
            .unwrap_or_else(|error| panic!("deploy: {error}"))
            .image
    })
}

/// A script of the package: what most of those do that are installed for a service.
const PREINST: &str = "#!/bin/sh
set -e
useradd --system --user-group --no-create-home served
";
const POSTINST: &str = "#!/bin/sh
set -e
chown served:served /var/lib/served
chmod 2750 /var/lib/served
install -o served -g served -m 0640 /dev/null /var/lib/served/state
su -s /bin/sh served -c 'true'
";
const POSTRM: &str = "#!/bin/sh
set -e
if [ \"$1\" = purge ]; then rm -rf /var/lib/served; userdel served; fi
";

/// Makes the package `served` in `directory`, with files of other users and a program that runs as its owner.
fn package(directory: &Path, version: &str) -> String {
    let at = |name: &str| directory.join(format!("build/{name}"));
    for name in [
        "control",
        "data/usr/bin",
        "data/var/lib/served",
        "data/usr/lib/served",
    ] {
        fs::create_dir_all(at(name)).unwrap();
    }
    let upgrade = if version == "1" {
        PREINST
    } else {
        "#!/bin/sh\n"
    };
    let control = format!(
        "Package: served\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDepends: passwd\nDescription: a service\n"
    );
    for (name, text) in [
        ("control/control", control.as_str()),
        ("control/preinst", upgrade),
        (
            "control/postinst",
            if version == "1" {
                POSTINST
            } else {
                "#!/bin/sh\n"
            },
        ),
        ("control/postrm", POSTRM),
        ("data/usr/bin/served", "#!/bin/sh\necho served\n"),
        ("data/usr/lib/served/version", version),
        ("debian-binary", "2.0\n"),
    ] {
        fs::write(at(name), text).unwrap();
    }
    let name = format!("served_{version}_all.deb");
    let script = format!(
        "cd {build} && chmod 755 control/p* && chmod 4755 data/usr/bin/served && chmod 640 data/usr/lib/served/version &&
         tar --owner=0 --group=0 -C control -czf control.tar.gz . &&
         tar --owner=0 --group=0 --exclude=./usr/lib/served/version -C data -cf data.tar . &&
         tar --owner=8 --group=33 --numeric-owner -C data -rf data.tar ./usr/lib/served/version &&
         gzip data.tar && rm -f ../{name} && ar rc ../{name} debian-binary control.tar.gz data.tar.gz &&
         cd .. && rm -r build &&
         {{ tar -xOf <(ar p {name} control.tar.gz) --gzip ./control; echo Filename: ./{name};
            echo Size: $(stat -c %s {name}); echo SHA256: $(sha256sum {name} | cut -d' ' -f1); echo; }} >> Packages",
        build = at("").display()
    );
    run("bash", &["-c", &script]);
    name
}

/// A package of another distribution, whose files belong to somebody else.
fn pacman_package(directory: &Path) {
    let script = "mkdir -p build/usr/lib/foreign && cd build && echo it > usr/lib/foreign/file &&
        printf 'pkgname = foreign\\npkgbase = foreign\\npkgver = 1-1\\npkgdesc = one\\nsize = 3\\narch = any\\n' > .PKGINFO &&
        tar --owner=8 --group=33 --numeric-owner -czf ../foreign-1-1-any.pkg.tar.gz .PKGINFO usr && cd .. && rm -r build &&
        printf '[options]\\nArchitecture = auto\\nSigLevel = Never\\n' > pacman.conf";
    run(
        "bash",
        &["-c", &format!("cd {} && {script}", directory.display())],
    );
}

fn run(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments);
    let ran = Ran::of(command);
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Somebody who is root of a container.
struct Root {
    place: Place,
    /// What gives them ids, if they are not their own.
    before: Option<String>,
    /// Whether files can belong to others.
    has_ids: bool,
}

impl Root {
    fn all() -> Vec<Root> {
        let mut all: Vec<Root> = Vec::new();
        for who in everybody() {
            all.push(Root {
                place: Place::with(who, distribution()),
                before: None,
                has_ids: who == Who::Caller && nix::unistd::geteuid().is_root(),
            });
        }
        let place = Place::with(all[all.len() - 1].place.who, distribution());
        let before = subordinate(&place);
        place.succeed(&["fim-ids", "set", "subordinate"]);
        all.push(Root {
            place,
            before: Some(before),
            has_ids: true,
        });
        all
    }

    fn run(&self, script: &str) -> Ran {
        let arguments = ["fim-root", "bash", "-c", script];
        Ran::of(match &self.before {
            Some(before) => with_ids(&self.place, before, &arguments),
            None => self.place.image(&arguments),
        })
    }

    /// What the script prints; it must succeed.
    fn does(&self, script: &str) -> String {
        let ran = self.run(script);
        assert_eq!(ran.code, 0, "{:?} {script}: {ran:?}", self.place.who);
        ran.out
    }

    /// As the container shows it to those who have the ids and to the others.
    fn owner<'a>(&self, exact: &'a str) -> &'a str {
        if self.has_ids { exact } else { "root root" }
    }
}

const APT: &str = "export DEBIAN_FRONTEND=noninteractive; apt() { apt-get -qq -o Dir::Etc::SourceList=/repository/sources.list -o Dir::Etc::SourceParts=- \"$@\" 2>&1; }; ";

#[test]
fn packages_with_users_and_owners_of_their_own_are_installed_upgraded_and_removed() {
    for root in Root::all() {
        let place = &root.place;
        let repository = place.path().join("repository");
        fs::create_dir(&repository).unwrap();
        fs::write(
            repository.join("sources.list"),
            "deb [trusted=yes] file:/repository ./\n",
        )
        .unwrap();
        package(&repository, "1");
        place.succeed(&[
            "fim-bind",
            "add",
            "ro",
            &repository.to_string_lossy(),
            "/repository",
        ]);

        root.does(&format!("{APT} apt update && apt install --yes served"));
        let shown = root.does("stat -c '%U %G %a' /usr/lib/served/version /usr/bin/served /var/lib/served /var/lib/served/state; id -un served");
        let expected = format!(
            "{} 640\nroot root 4755\n{} 2750\n{} 640\nserved\n",
            root.owner("mail www-data"),
            root.owner("served served"),
            root.owner("served served"),
        );
        assert_eq!(shown, expected);

        let second = package(&repository, "2");
        root.does(&format!("{APT} apt update && apt upgrade --yes"));
        assert_eq!(
            root.does("cat /usr/lib/served/version; served; dpkg --audit"),
            "2served\n"
        );
        root.does(&format!("dpkg -i /repository/{second} 2>&1"));
        root.does(&format!("{APT} apt remove --yes served && ! test -e /usr/bin/served && id served && dpkg --purge served 2>&1"));
        let gone = root.run("id served");
        assert_eq!(gone.code, 1, "{gone:?}");
        assert_eq!(
            root.does("ls -d /var/lib/served 2>&1; dpkg --audit"),
            "ls: cannot access '/var/lib/served': No such file or directory\n"
        );
        forget(place);
        fs::remove_dir_all(repository).unwrap();
        place.assert_clean();
    }
}

#[test]
fn packages_of_pacman_are_installed_and_removed() {
    for root in Root::all() {
        let place = &root.place;
        let repository = place.path().join("repository");
        fs::create_dir(&repository).unwrap();
        pacman_package(&repository);
        place.succeed(&[
            "fim-bind",
            "add",
            "ro",
            &repository.to_string_lossy(),
            "/repository",
        ]);
        let pacman = "pacman --config /repository/pacman.conf --noconfirm";
        root.does(&format!(
            "{pacman} -U /repository/foreign-1-1-any.pkg.tar.gz 2>&1"
        ));
        let shown = root.does("stat -c '%U %G' /usr/lib/foreign/file; cat /usr/lib/foreign/file");
        assert_eq!(shown, format!("{}\nit\n", root.owner("mail www-data")));
        root.does(&format!(
            "{pacman} -R foreign 2>&1 && ! test -e /usr/lib/foreign"
        ));
        forget(place);
        fs::remove_dir_all(repository).unwrap();
        place.assert_clean();
    }
}

const APK_SCRIPT: &str = "#!/bin/sh
set -e
useradd --system --user-group --no-create-home served
chown -h served:served /usr/lib/served/link
install -o served -g served -m 0640 /dev/null /usr/lib/served/state
su -s /bin/sh served -c true
echo script $1 of $APK_PACKAGE as $(id -u) in $(pwd)
";

#[test]
fn what_apk_does_to_install_a_package_works() {
    for root in Root::all() {
        let place = &root.place;
        let program = compiled(place, "distribution/apk.c", &[]);
        place.succeed(&[
            "fim-bind",
            "add",
            "ro",
            &program.to_string_lossy(),
            "/install",
        ]);
        let script = APK_SCRIPT.replace('\'', "'\\''");
        let said = root.does(&format!("/install '{script}'"));
        let denied = match root.has_ids {
            true => "",
            // apk says so and goes on.
            false => "usr/bin/capable has no capability: Operation not permitted\n",
        };
        assert_eq!(said, format!("{denied}script 1 of served as 0 in /\n"));
        let shown = root.does(
            "cd /usr/lib/served; stat -c '%n %U %G %a %h %Y' version; stat -c '%n %U %G' link state .; stat -c '%n %F' fifo hard; \
             stat -c '%a %U' /usr/bin/served; served",
        );
        let (mail, served) = (root.owner("mail www-data"), root.owner("served served"));
        assert_eq!(
            shown,
            format!(
                "version {mail} 640 2 1000000000\nlink {served}\nstate {served}\n. {mail}\nfifo fifo\nhard regular file\n4755 root\n\
                 served\n"
            )
        );
        forget(place);
        fs::remove_file(program).unwrap();
        place.assert_clean();
    }
}
