//! Rules of the filter as instructions of the kernel's classic packet filter (Documentation/userspace-api/seccomp_filter.rst).
//!
//! The accumulator holds the number of the call when the code of a rule begins, and again when it ends without an answer.
//! So rules can stand in any order, and any of them can be left out.

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
/// Where `struct seccomp_data` has the number of the call.
const NUMBER: u32 = 0;
/// Where it has the arguments, 64 bits each; the lower half comes first on the little-endian machines there are.
const ARGUMENTS: u32 = 16;
/// Numbers from here on are private to 32-bit ARM (`__ARM_NR_BASE`): its C library needs them.
const ARM_PRIVATE: u32 = 0x000f_0000;

/// The code of `rule` on `machine`; empty when the machine has none of its calls.
pub fn code(rule: &Rule, machine: Machine) -> Vec<Instruction> {
    let denials = rule.deny.iter();
    denials.flat_map(|denial| denied(denial, machine)).collect()
}

fn denied(denial: &Denial, machine: Machine) -> Vec<Instruction> {
    let mut then = Vec::new();
    if let Some((argument, test)) = &denial.condition {
        then.push(load(ARGUMENTS + 8 * u32::from(*argument)));
        then.extend(tested(test));
    }
    then.push(answer(denial.answer));
    if denial.condition.is_some() {
        then.push(load(NUMBER));
    }
    let length = u8::try_from(then.len()).expect("values have been counted");
    let mut code = match &denial.calls {
        Calls::Named(names) => {
            let numbers = names.iter().filter_map(|name| machine.number(name));
            any_of(&numbers.collect::<Vec<_>>(), length)
        }
        Calls::Above(name) => above(machine.number(name), machine, length),
    };
    if !code.is_empty() {
        code.extend(then);
    }
    code
}

/// Goes on when the accumulator is one of `values`, else skips `length` instructions.
fn any_of(values: &[u32], length: u8) -> Vec<Instruction> {
    let tests = values.iter().enumerate().map(|(place, value)| {
        let left = u8::try_from(values.len() - 1 - place).expect("values have been counted");
        let otherwise = if left == 0 { length } else { 0 };
        test(IF_EQUAL, *value, left, otherwise)
    });
    tests.collect()
}

/// Goes on when the accumulator is greater than `number`, and skips `length` instructions otherwise.
fn above(number: Option<u32>, machine: Machine, length: u8) -> Vec<Instruction> {
    let Some(number) = number else {
        return Vec::new();
    };
    match machine {
        Machine::Arm => vec![
            test(IF_GREATER, number, 0, length + 1),
            test(IF_GREATER, ARM_PRIVATE - 1, length, 0),
        ],
        _ => vec![test(IF_GREATER, number, 0, length)],
    }
}

/// Goes on when the test holds; else skips the answer that follows.
fn tested(condition: &Test) -> Vec<Instruction> {
    match condition {
        Test::AnyOf(values) => any_of(values, 1),
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
    let number = match answer {
        Answer::NotPermitted => 1,
        Answer::NoSuchCall => 38,
        Answer::NoSuchFamily => 97,
    };
    test(RETURN, ERROR | number, 0, 0)
}

fn load(offset: u32) -> Instruction {
    test(LOAD, offset, 0, 0)
}

fn test(code: u16, value: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        value,
    }
}
