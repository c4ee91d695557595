//! Rules of the filter as instructions of the kernel's classic packet filter (Documentation/userspace-api/seccomp_filter.rst).
//!
//! The code for a call begins when the accumulator holds its number, and always ends with an answer. So calls can stand in
//! any order, and any of them can be left out.

use flatimage_schema::machine::Machine;
use flatimage_schema::model::{Answer, Calls, Denial, Rule, Test};

/// One instruction: `struct sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// Instructions that are skipped when its test holds.
    pub if_true: u8,
    /// Instructions that are skipped when it does not.
    pub if_false: u8,
    /// Its operand.
    pub value: u32,
}

/// `BPF_LD | BPF_W | BPF_ABS`
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`
const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`
const IF_GREATER: u16 = 0x25;
/// `BPF_JMP | BPF_JSET | BPF_K`
const IF_ANY_BIT: u16 = 0x45;
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;
/// `SECCOMP_RET_ERRNO`, the error in the lower half.
const ERROR: u32 = 0x0005_0000;
/// `SECCOMP_RET_USER_NOTIF`
const ASK: u32 = 0x7fc0_0000;
/// `SECCOMP_RET_ALLOW`
const ALLOW: u32 = 0x7fff_0000;
/// Where `struct seccomp_data` has the arguments, 64 bits each; the lower half comes first on the little-endian machines there are.
const ARGUMENTS: u32 = 16;
/// Numbers from here on are private to 32-bit ARM (`__ARM_NR_BASE`): its C library needs them.
const ARM_PRIVATE: u32 = 0x000f_0000;

/// The calls that `rule` names on `machine`: each with its number and the code that follows when it is made.
pub fn calls(rule: &Rule, machine: Machine) -> Vec<(&str, u32, Vec<Instruction>)> {
    let denials = rule.deny.iter().filter_map(|denial| match &denial.calls {
        Calls::Named(names) => Some((names, denied(denial))),
        Calls::Above(_) => None,
    });
    let calls = denials.flat_map(|(names, code)| {
        let known = |name: &'_ str| machine.number(name);
        let numbers = names
            .iter()
            .filter_map(move |name| Some((name.as_str(), known(name)?)));
        numbers.map(move |(name, number)| (name, number, code.clone()))
    });
    calls.collect()
}

/// What is asked before any number is: the code that denies whatever is newer than a call. It goes on otherwise, with the
/// number still in the accumulator.
pub fn above(rule: &Rule, machine: Machine) -> Vec<Instruction> {
    let denials = rule.deny.iter().filter_map(|denial| match &denial.calls {
        Calls::Above(name) => Some((machine.number(name)?, denial)),
        Calls::Named(_) => None,
    });
    let code = denials.flat_map(|(number, denial)| {
        let mut code = match machine {
            Machine::Arm => vec![
                test(IF_GREATER, number, 0, 2),
                test(IF_GREATER, ARM_PRIVATE - 1, 1, 0),
            ],
            _ => vec![test(IF_GREATER, number, 0, 1)],
        };
        code.push(answer(denial.answer));
        code
    });
    code.collect()
}

fn denied(denial: &Denial) -> Vec<Instruction> {
    let Some((argument, condition)) = &denial.condition else {
        return vec![answer(denial.answer)];
    };
    let mut code = vec![test(LOAD, ARGUMENTS + 8 * u32::from(*argument), 0, 0)];
    code.extend(tested(condition));
    code.extend([answer(denial.answer), test(RETURN, ALLOW, 0, 0)]);
    code
}

/// Goes on when the test holds; else skips the answer that follows.
fn tested(condition: &Test) -> Vec<Instruction> {
    match condition {
        Test::AnyOf(values) => {
            let tests = values.iter().enumerate().map(|(place, value)| {
                let left =
                    u8::try_from(values.len() - 1 - place).expect("values have been counted");
                test(IF_EQUAL, *value, left, u8::from(left == 0))
            });
            tests.collect()
        }
        Test::NoneOf(values) => {
            let tests = values.iter().enumerate().map(|(place, value)| {
                let left = u8::try_from(values.len() - place).expect("values have been counted");
                test(IF_EQUAL, *value, left, 0)
            });
            tests.collect()
        }
        Test::AnyBitOf(bits) => vec![test(IF_ANY_BIT, *bits, 0, 1)],
    }
}

fn answer(answer: Answer) -> Instruction {
    // include/uapi/asm-generic/errno.h, the same on all machines here.
    let answer = match answer {
        Answer::NotPermitted => ERROR | 1,
        Answer::NoSuchCall => ERROR | 38,
        Answer::NoSuchFamily => ERROR | 97,
        Answer::Asked => ASK,
        // No error: the call answers 0 and is not made.
        Answer::Done => ERROR,
    };
    test(RETURN, answer, 0, 0)
}

fn test(code: u16, value: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Vec<Rule> {
        let declaration = format!(
            "format: 1\nsize: 0x100000\nregions: []\nfilter:\n  - {{name: rule, summary: a rule, reason: none, deny: [{text}]}}\n"
        );
        flatimage_schema::load("test", &declaration).unwrap().filter
    }

    #[test]
    fn a_call_has_the_number_of_each_machine_that_has_it() {
        let rules = filter("{calls: [keyctl, ioperm]}");
        let numbers = |machine| -> Vec<u32> {
            let calls = calls(&rules[0], machine);
            calls.into_iter().map(|(_, number, _)| number).collect()
        };
        assert_eq!(numbers(Machine::X86_64), [250, 173]);
        assert_eq!(numbers(Machine::Aarch64), [219]);
    }

    #[test]
    fn the_private_calls_of_32_bit_arm_are_not_newer() {
        let rules = filter("{above: file_setattr, answer: ENOSYS}");
        let code = above(&rules[0], Machine::Arm);
        let [first, second, answer] = code.as_slice() else {
            panic!("{code:?}");
        };
        // Not above: over both; above and private: over the answer.
        assert_eq!((first.if_true, first.if_false), (0, 2));
        assert_eq!(
            (second.value, second.if_true, second.if_false),
            (0x000e_ffff, 1, 0)
        );
        assert_eq!(*answer, super::answer(Answer::NoSuchCall));
        assert_eq!(above(&rules[0], Machine::X86_64).len(), 2);
    }
}
