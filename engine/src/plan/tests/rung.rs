//! The same plan on lower rungs.

use super::*;
use crate::plan::{Argument, Around, Lack, Maker, arguments};

fn planned(as_root: bool) -> Plan {
    let files = [
        ("/proc/acpi", "/proc/acpi", Kind::Directory),
        ("/proc/keys", "/proc/keys", Kind::Other),
    ];
    let request = Request {
        as_root,
        ..request(&["true"])
    };
    plan_of(&[], "v", &host(&files, &[]), &request).unwrap()
}

/// The arguments as one line, a descriptor as its text in brackets.
fn said_of(plan: &Plan) -> Result<String, String> {
    let files = host(
        &[
            ("/proc/acpi", "/proc/acpi", Kind::Directory),
            ("/proc/keys", "/proc/keys", Kind::Other),
        ],
        &[],
    );
    let around = Around {
        copy: Path::new("/copy"),
        files: files.files.as_ref(),
        contents: &|path| {
            (path == Path::new("/etc/passwd")).then(|| "root:x:0:0::/root:/bin/sh\n".into())
        },
    };
    let words = arguments(plan, &around)?
        .into_iter()
        .map(|argument| match argument {
            Argument::Text(text) => text.to_string_lossy().into_owned(),
            Argument::Data(text) => format!("[{text}]"),
        });
    Ok(words.collect::<Vec<_>>().join(" "))
}

#[test]
fn what_is_lent_changes_nothing_but_the_label() {
    let plan = planned(false);
    let lent = plan.lent_by(Path::new("/usr/bin/bwrap"), "refused");
    assert_eq!(lent.lender(), Some(Path::new("/usr/bin/bwrap")));
    assert_eq!(lent.rung.lacks, []);
    let same = Plan {
        rung: plan.rung.clone(),
        ..lent
    };
    assert_eq!(same, plan);
}

#[test]
fn without_processes_of_its_own_the_plan_shows_those_that_are_there() {
    let plan = planned(false)
        .lacking(Lack::Processes)
        .lacking(Lack::HostName);
    assert!(!plan.namespaces.contains(&"pid"));
    let proc = Path::new("/proc");
    let shown = |step: &Step| matches!(&step.action, Action::Bind { source, target, .. } if source == proc && target == proc);
    assert!(plan.steps.iter().any(shown));
    let gone = |step: &Step| matches!(step.action, Action::Proc { .. } | Action::Hostname { .. });
    assert!(!plan.steps.iter().any(gone));
    let label = plan.to_string();
    assert!(
        label.starts_with("sandbox    native\nlacks      processes of its own: "),
        "{label}"
    );
}

#[test]
fn a_copy_is_the_root_of_what_bwrap_is_told_and_every_difference_is_on_the_label() {
    let (program, copy) = (Path::new("/usr/bin/bwrap"), Path::new("/copy"));
    let plan = planned(false).copied(program, copy, "refused");
    assert_eq!(plan.boxed(), Some((program, copy)));
    assert_eq!((plan.way(), plan.stack()), (None, None));
    assert_eq!(
        plan.rung.lacks,
        [Lack::Overlay, Lack::Nesting, Lack::Places]
    );
    let said = said_of(&plan).unwrap();
    for part in [
        "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-net --unshare-cgroup-try --uid 1000 --gid 100",
        "--bind /copy /",
        "--perms 0644 --bind-data [root:x:0:0::/root:/bin/sh\nana:x:1000:",
        "--dev /dev",
        "--perms 1777 --tmpfs /tmp",
        "--proc /proc",
        "--tmpfs /proc/acpi --remount-ro /proc/acpi",
        "--ro-bind /dev/null /proc/keys",
        "--ro-bind-try /proc/sys /proc/sys",
        "--ro-bind /cache/tools /run/flatimage",
        "--hostname myapp",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!said.contains("/dev/null /dev/null"), "{said}");
    let root = planned(true).copied(program, copy, "refused");
    assert_eq!(root.rung.lacks.last(), Some(&Lack::Capabilities));
    assert_eq!(root.exec.capabilities, Vec::<&str>::new());
    let shared = root.lacking(Lack::Processes);
    assert!(
        said_of(&shared)
            .unwrap_err()
            .contains("fim-unshare add pid")
    );
}

#[test]
fn an_overlay_outside_is_the_root_of_what_bwrap_is_told_and_on_the_label() {
    let (program, mounter) = (
        Path::new("/usr/bin/bwrap"),
        Path::new("/usr/bin/fusermount3"),
    );
    let (root, data) = (Path::new("/copy"), Path::new("/data"));
    let plan = planned(false).outside((program, mounter), (root, data), "refused");
    assert_eq!(plan.boxed(), Some((program, root)));
    assert!(plan.is_outside() && !plan.is_copied());
    assert_eq!((plan.way(), plan.stack()), (None, None));
    assert_eq!(
        plan.rung.lacks,
        [Lack::CleanUp, Lack::Nesting, Lack::Places]
    );
    let copied = planned(false).copied(program, root, "refused");
    assert_eq!(said_of(&plan), said_of(&copied));
    let label = plan.to_string();
    assert!(
        label.starts_with(
            "sandbox    made by /usr/bin/bwrap from arguments, around an overlay that /usr/bin/fusermount3 mounts; refused\n"
        ),
        "{label}"
    );
    assert!(
        label.contains("\noutside    /copy with changes in /data  # default\n"),
        "{label}"
    );
    let root = planned(true).outside((program, mounter), (root, data), "refused");
    assert_eq!(root.rung.lacks.last(), Some(&Lack::Capabilities));
    assert_eq!(root.exec.capabilities, Vec::<&str>::new());
}

#[test]
fn a_host_that_refuses_everything_is_on_the_label() {
    let refused = planned(false).refused("this host gives none");
    assert_eq!(refused.rung.maker, Maker::Nobody);
    let label = refused.to_string();
    assert!(
        label.starts_with("sandbox    none, and no start; this host gives none\n"),
        "{label}"
    );
}
