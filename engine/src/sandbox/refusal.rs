//! Why a host refuses what a container needs, and the one thing that mends it.
//!
//! What the kernel answers does not say who refused: the causes are looked for where each of them can be seen ([`Facts`]),
//! and named only when one is found there.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::failure::{Failure, plain};
use crate::plan::Lack;

mod facts;

pub use facts::Facts;
use facts::Outer;

/// Explains that namespaces could not be made or used, for the image at `image`.
pub fn explain(error: &io::Error, image: &Path) -> Failure {
    let cause = cause(&Facts::read(Path::new("/")), error, image);
    let reason = plain(error);
    Failure::ours(format!("this host gives no namespaces ({reason}): {cause}"))
}

/// The cause and what mends it, for a sentence.
fn cause(facts: &Facts, error: &io::Error, image: &Path) -> String {
    if !facts.has_user_namespaces {
        return "its kernel is built without them; use one with CONFIG_USER_NS".into();
    }
    if let Some(kind) = facts.forbidden {
        return format!(
            "the sysctl user.max_{kind}_namespaces is 0; allow them with `sudo sysctl -w user.max_{kind}_namespaces=10000`"
        );
    }
    if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EUSERS)) {
        return "as many as the sysctls user.max_*_namespaces allow are in use, or they are nested too deeply; end some, or \
                raise the limit"
            .into();
    }
    if facts.switched_off && !facts.is_root {
        return "the sysctl kernel.unprivileged_userns_clone is 0; allow them with `sudo sysctl -w \
                kernel.unprivileged_userns_clone=1`"
            .into();
    }
    if let Some(profile) = facts.profile.as_deref() {
        return match facts.outer {
            Some(outer) => format!(
                "the AppArmor profile `{profile}` of the outer container does not allow it; start that one with \
                 `{} --security-opt apparmor=unconfined`",
                outer.program()
            ),
            None => format!(
                "the AppArmor profile `{profile}`, which this start runs under, does not allow it; add `userns,` to the profile"
            ),
        };
    }
    if facts.restricted && !facts.is_root {
        return format!(
            "AppArmor keeps them from ordinary users (kernel.apparmor_restrict_unprivileged_userns is 1); allow them for \
             this file with `{}`",
            profile_command(image)
        );
    }
    if facts.is_chrooted {
        return "it runs in a chroot environment, in which the kernel makes none; enter that with a program that makes \
                it the root of a mount namespace, such as bwrap or systemd-nspawn"
            .into();
    }
    match (facts.is_filtered, facts.outer) {
        (true, Some(outer)) => format!(
            "the filter of system calls of the outer container does not allow it; start that one with `{} \
             --security-opt seccomp=unconfined`",
            outer.program()
        ),
        (true, None) => "a filter of system calls, which whoever started this has set (seccomp), does not allow it; start it \
                         without, or have the filter allow `clone` and `unshare`"
            .into(),
        (false, _) => "none of the switches that are known for that is set; the kernel's log may say who refused".into(),
    }
}

/// Loads an AppArmor profile for the file and keeps it for the next boots. A profile of the mode `unconfined` takes nothing away
/// and lasts over the start of the private copy of the program (apparmor.d(5)).
fn profile_command(image: &Path) -> String {
    let path = image.to_string_lossy();
    let place = format!(
        "/etc/apparmor.d/{}",
        path.trim_start_matches('/').replace('/', ".")
    );
    let profile = format!(
        "abi <abi/4.0>, profile \"{0}\" \"{0}\" flags=(unconfined) {{ userns, }}",
        literal(&path)
    );
    let (profile, place) = (quoted(&profile), quoted(&place));
    format!("echo {profile} | sudo tee {place} && sudo apparmor_parser -r {place}")
}

/// A path as it stands in a profile: nothing in it is a pattern.
fn literal(path: &str) -> String {
    let special = |character| "\\\"*?[]{}^@".contains(character);
    let escaped = path.chars().flat_map(|character| {
        let escape = special(character).then_some('\\');
        escape.into_iter().chain([character])
    });
    escaped.collect()
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Explains that parts of the sandbox are missing.
pub fn explain_lacks(lacks: &[Lack]) -> Failure {
    let outer = Facts::read(Path::new("/")).outer;
    let each = |words: fn(Lack) -> &'static str, between: &str| {
        let words = lacks.iter().map(|lack| words(*lack));
        words.collect::<Vec<_>>().join(between)
    };
    let names = each(|lack| lack.name(), " and no ");
    let reasons = each(reason, ", and ");
    let options = lacks.iter().map(|lack| option(*lack, outer));
    let options: String = options.map(|it| format!(" --security-opt {it}")).collect();
    let mend = match outer.map(Outer::program) {
        Some(program) => format!("start the outer container with `{program}{options}`"),
        None => "allow it there".to_owned(),
    };
    Failure::ours(format!(
        "the container gets no {names} of its own: {reasons}; {mend}, or do without by FIM_SANDBOX=best-effort"
    ))
}

fn reason(lack: Lack) -> &'static str {
    match lack {
        // `mount_too_revealing` in fs/namespace.c
        Lack::Processes => {
            "parts of the /proc around it are hidden or read-only, where the kernel gives no further one"
        }
        Lack::HostName => "a filter of system calls does not allow `sethostname`",
        Lack::Overlay | Lack::Nesting | Lack::Places | Lack::Capabilities | Lack::CleanUp => {
            "the host refuses it"
        }
    }
}

fn option(lack: Lack, outer: Option<Outer>) -> &'static str {
    match (lack, outer) {
        (Lack::Processes, Some(Outer::Docker)) => "systempaths=unconfined",
        (Lack::Processes, _) => "unmask=ALL",
        _ => "seccomp=unconfined",
    }
}

/// Whether the kernel answered that it is not allowed.
pub fn is_denied<T>(answer: &io::Result<T>) -> bool {
    let error = answer.as_ref().err();
    error.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Explains that a filesystem cannot be served; `who_needs` it begins the sentence.
pub fn explain_fuse(who_needs: &str, error: Errno) -> Failure {
    let mend = match error {
        Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => "load the kernel's module `fuse`",
        Errno::EACCES | Errno::EPERM => "open it to everybody (mode 0666), as distributions do",
        _ => "see what the kernel's log says of it",
    };
    let reason = plain(&error.into());
    Failure::ours(format!(
        "{who_needs} /dev/fuse, which cannot be opened ({reason}); {mend}"
    ))
}

impl Outer {
    /// How one is started.
    fn program(self) -> &'static str {
        match self {
            Outer::Docker => "docker run",
            Outer::Podman => "podman run",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said on a host that is all as usual but for `change`.
    fn said(change: impl Fn(&mut Facts)) -> String {
        let mut facts = Facts {
            has_user_namespaces: true,
            ..Facts::default()
        };
        change(&mut facts);
        let error = io::Error::from_raw_os_error(libc::EPERM);
        cause(&facts, &error, Path::new("/home/a b/it's {x}.flatimage"))
    }

    #[test]
    fn each_cause_is_named_with_one_thing_that_mends_it() {
        type Case<'a> = (&'a str, &'a dyn Fn(&mut Facts));
        let cases: [Case<'_>; 9] = [
            ("CONFIG_USER_NS", &|facts| facts.has_user_namespaces = false),
            ("sudo sysctl -w user.max_user_namespaces=", &|facts| {
                facts.forbidden = Some("user");
            }),
            (
                "sudo sysctl -w kernel.unprivileged_userns_clone=1",
                &|facts| {
                    facts.switched_off = true;
                },
            ),
            ("sudo apparmor_parser -r", &|facts| facts.restricted = true),
            ("add `userns,` to the profile", &|facts| {
                (facts.restricted, facts.profile) = (true, Some("snap.x".into()));
            }),
            ("docker run --security-opt apparmor=unconfined", &|facts| {
                (facts.outer, facts.profile) = (Some(Outer::Docker), Some("docker-default".into()));
            }),
            ("bwrap or systemd-nspawn", &|facts| facts.is_chrooted = true),
            ("podman run --security-opt seccomp=unconfined", &|facts| {
                (facts.is_filtered, facts.outer) = (true, Some(Outer::Podman));
            }),
            ("have the filter allow `clone`", &|facts| {
                facts.is_filtered = true
            }),
        ];
        for (expected, change) in cases {
            let said = said(change);
            assert!(said.contains(expected) && !said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn what_is_not_for_root_is_not_said_to_root_and_nothing_is_guessed() {
        let said = said(|facts| {
            (facts.is_root, facts.switched_off, facts.restricted) = (true, true, true);
        });
        assert!(said.starts_with("none of the switches"), "{said}");
    }

    #[test]
    fn the_profile_is_for_this_very_file() {
        let said = said(|facts| facts.restricted = true);
        let profile = r#"profile "/home/a b/it'\''s \{x\}.flatimage" "/home/a b/it'\''s \{x\}.flatimage" flags=(unconfined) { userns, }"#;
        assert!(said.contains(profile), "{said}");
        assert!(
            said.contains(r"/etc/apparmor.d/home.a b.it'\''s {x}.flatimage'"),
            "{said}"
        );
    }
}
