//! The declared filter, run by a model of the kernel's interpreter.
//!
//! Only what the filter's code uses is modelled; anything else fails the test.
#![cfg(target_arch = "x86_64")]

use flatimage_reserved::Instruction;
use flatimage_reserved::declared::FILTER;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const EAFNOSUPPORT: u32 = 0x0005_0061;

/// What the program answers to a call (`struct seccomp_data` of linux/seccomp.h).
fn answer(program: &[Instruction], machine: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let words = |offset: u32| match offset {
        0 => number,
        4 => machine,
        16..64 if offset.is_multiple_of(4) => {
            let argument = arguments[(offset as usize - 16) / 8];
            (argument >> (offset % 8 * 8)) as u32
        }
        other => panic!("load of {other}"),
    };
    let (mut accumulator, mut place) = (0, 0);
    loop {
        let Instruction {
            code,
            if_true,
            if_false,
            value,
        } = program[place];
        let jump = |holds: bool| usize::from(if holds { if_true } else { if_false });
        place += 1;
        match code {
            0x20 => accumulator = words(value),
            0x05 => place += value as usize,
            0x15 => place += jump(accumulator == value),
            0x25 => place += jump(accumulator > value),
            0x45 => place += jump(accumulator & value != 0),
            0x06 => return value,
            other => panic!("code {other:#x}"),
        }
    }
}

fn whole() -> Vec<Instruction> {
    FILTER.program(|_| true, |_| false)
}

fn without(rule: &str) -> Vec<Instruction> {
    FILTER.program(|known| known.name != rule, |_| false)
}

#[test]
fn calls_are_denied_by_the_numbers_of_their_machine() {
    let program = whole();
    let answer = |machine, number| answer(&program, machine, number, [0; 6]);
    // read, write, mmap, execve, clone without a new namespace, socket(AF_UNSPEC) apart.
    for number in [0, 1, 9, 59, 56] {
        assert_eq!(answer(X86_64, number), ALLOW, "{number}");
    }
    // ptrace, keyctl, bpf, mount, setns.
    for (native, compat) in [(101, 26), (250, 288), (321, 357), (165, 21), (308, 346)] {
        assert_eq!(answer(X86_64, native), EPERM, "{native}");
        assert_eq!(answer(X86, compat), EPERM, "{compat}");
    }
    // The number of one machine's `bpf` is `process_vm_readv`'s neighbour on the other: nothing leaks over.
    assert_eq!(answer(X86, 165), ALLOW);
    // clone3 and io_uring_setup.
    for number in [435, 425] {
        assert_eq!(answer(X86_64, number), ENOSYS);
        assert_eq!(answer(X86, number), ENOSYS);
    }
    assert_eq!(answer(0x4000_0028, 0), KILL);
}

#[test]
fn what_is_newer_and_what_is_of_the_x32_kind_is_not_there() {
    let program = whole();
    for machine in [X86_64, X86] {
        assert_eq!(answer(&program, machine, 469, [0; 6]), ALLOW);
        for number in [470, 600, 0x4000_0000, 0x4000_0000 | 101, u32::MAX] {
            assert_eq!(
                answer(&program, machine, number, [0; 6]),
                ENOSYS,
                "{number:#x}"
            );
        }
    }
}

#[test]
fn arguments_are_looked_at_where_they_matter() {
    let program = whole();
    for (machine, ioctl, clone, unshare, socket) in
        [(X86_64, 16, 56, 272, 41), (X86, 54, 120, 310, 359)]
    {
        let answer = |number, arguments| answer(&program, machine, number, arguments);
        for (value, expected) in [(0x5412, EPERM), (0x541c, EPERM), (0x5413, ALLOW)] {
            assert_eq!(answer(ioctl, [0, value, 0, 0, 0, 0]), expected);
            // The kernel takes 32 bits of it.
            assert_eq!(answer(ioctl, [0, value | 1 << 40, 0, 0, 0, 0]), expected);
        }
        for (flag, expected) in [
            (0x1000_0000, EPERM),
            (0x0002_0000, EPERM),
            (0x80, ALLOW),
            (0x11, ALLOW),
        ] {
            assert_eq!(
                answer(clone, [flag | 17, 0, 0, 0, 0, 0]),
                expected,
                "{flag:#x}"
            );
        }
        assert_eq!(answer(unshare, [0x80, 0, 0, 0, 0, 0]), EPERM);
        assert_eq!(answer(unshare, [0x200, 0, 0, 0, 0, 0]), ALLOW);
        for family in 0..64 {
            let expected = match family {
                1 | 2 | 10 | 16 => ALLOW,
                _ => EAFNOSUPPORT,
            };
            assert_eq!(
                answer(socket, [family, 1, 0, 0, 0, 0]),
                expected,
                "{family}"
            );
        }
    }
}

#[test]
fn a_rule_that_is_left_out_denies_nothing_and_changes_no_other() {
    for rule in FILTER.rules {
        let (whole, program) = (whole(), without(rule.name));
        for machine in [X86_64, X86] {
            for number in 0..600 {
                for argument in [0, 3, 0x5412, 0x1000_0000] {
                    let arguments = [argument; 6];
                    let (with, left) = (
                        answer(&whole, machine, number, arguments),
                        answer(&program, machine, number, arguments),
                    );
                    assert!(left == with || left == ALLOW, "{} {number}", rule.name);
                }
            }
        }
    }
    assert_eq!(answer(&without("tracing"), X86_64, 101, [0; 6]), ALLOW);
}

#[test]
fn no_call_is_denied_by_two_rules_and_every_rule_denies_something() {
    for rule in FILTER.rules {
        let only = FILTER.program(|known| known.name == rule.name, |_| false);
        let arguments = [0x1000_0000, 0x5412, 0, 0, 0, 0];
        let denied = (0..600).filter(|number| answer(&only, X86_64, *number, arguments) != ALLOW);
        assert!(denied.count() > 0, "{}", rule.name);
    }
}

#[test]
fn of_calls_that_are_told_only_denials_are_asked_about() {
    const ASK: u32 = 0x7fc0_0000;
    const NEW_USER: u64 = 0x1000_0000;
    let told = ["clone", "unshare", "clone3"];
    let program = FILTER.program(|_| true, |name| told.contains(&name));
    for (machine, clone, unshare, set) in [(X86_64, 56, 272, 308), (X86, 120, 310, 346)] {
        let answer = |number, flags| answer(&program, machine, number, [flags, 0, 0, 0, 0, 0]);
        assert_eq!(answer(clone, NEW_USER), ASK);
        assert_eq!(answer(clone, 17), ALLOW);
        assert_eq!(answer(unshare, NEW_USER), ASK);
        assert_eq!(answer(unshare, 0x400), ALLOW);
        assert_eq!(answer(set, 0), EPERM);
        assert_eq!(answer(435, 0), ENOSYS);
    }
    assert_eq!(FILTER.name(56, false), Some("clone"));
    assert_eq!(FILTER.name(120, true), Some("clone"));
    assert_eq!(FILTER.name(0, false), None);
}
