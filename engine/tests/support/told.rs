//! What commands say on such a host.
#![allow(dead_code, reason = "every test program uses a part of this")]

use nix::unistd::Pid;

use super::Ran;
use super::mounting::Mounting;

/// What a command says; of the runtime there is a warning for each thing that is missing.
pub fn ran(host: &Mounting<'_>, arguments: &[&str]) -> Ran {
    let ran = Ran::of(host.image(arguments));
    let (warnings, others): (Vec<&str>, Vec<&str>) = ran
        .err
        .lines()
        .partition(|line| line.starts_with("warning: the container lacks "));
    let expected = 3 + usize::from(arguments[0] == "fim-root");
    assert_eq!(warnings.len(), expected, "{ran:?}");
    assert!(warnings[0].contains("an end that is certain"), "{ran:?}");
    Ran {
        err: others.concat(),
        ..ran
    }
}

pub fn said(host: &Mounting<'_>, script: &str) -> String {
    let ran = ran(host, &["fim-exec", "bash", "-c", script]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    ran.out
}

/// A command that is refused nothing.
pub fn unrefused(host: &Mounting<'_>, code: i32, arguments: &[&str]) -> Ran {
    let ran = Ran::of(host.unrefused(arguments));
    assert_eq!(
        (ran.code, ran.err.lines().count()),
        (code, code.min(1) as usize),
        "{ran:?}"
    );
    ran
}

/// The supervisor of the only instance that runs.
pub fn supervisor(host: &Mounting<'_>) -> Pid {
    let list = unrefused(host, 0, &["fim-instance", "list"]).out;
    Pid::from_raw(list.trim().split(':').nth(1).unwrap().parse().unwrap())
}
