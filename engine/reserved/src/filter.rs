//! The filter of system calls that is declared, and the program for the kernel that it becomes.
//!
//! The rules are translated when this crate is compiled; at a start their code is put together in the order of the numbers,
//! the allowed ones left out.

/// One instruction of the kernel's classic packet filter: `struct sock_filter` of linux/filter.h, in the machine's byte order.
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

/// The filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterDecl {
    /// `AUDIT_ARCH_*` of the machine.
    pub native: u32,
    /// That of its 32-bit calls.
    pub compat: u32,
    /// What is denied.
    pub rules: &'static [RuleDecl],
}

/// A rule of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleDecl {
    /// Unique name.
    pub name: &'static str,
    /// One line: what is denied.
    pub summary: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Whether it answers calls as if they had been done. Such a rule holds only where an effect asks for it, any other
    /// unless an effect allows it.
    pub emulates: bool,
    /// The calls, each with condition and answer, in words.
    pub denied: &'static [&'static str],
    /// Its code for the machine's own calls.
    pub native: RuleCode,
    /// Its code for 32-bit calls.
    pub compat: RuleCode,
}

/// The code of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleCode {
    /// What is asked before any number is. It may answer, or go on with the number in the accumulator.
    pub above: &'static [Instruction],
    /// The calls that it names.
    pub calls: &'static [CallDecl],
}

/// A call that a rule names. No other rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallDecl {
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub number: u32,
    /// What follows when it is made; ends with an answer.
    pub code: &'static [Instruction],
}

/// `BPF_LD | BPF_W | BPF_ABS`
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`
const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`
const IF_GREATER: u16 = 0x25;
/// `BPF_JMP | BPF_JA`
const SKIP: u16 = 0x05;
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;
/// Where `struct seccomp_data` has the number of the call, and the machine.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
/// `SECCOMP_RET_ERRNO` with `EPERM`
const DENIED: u32 = 0x0005_0001;
/// `SECCOMP_RET_USER_NOTIF`
const ASK: u32 = 0x7fc0_0000;
/// `SECCOMP_RET_ALLOW`
const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_KILL_PROCESS`
const KILL: u32 = 0x8000_0000;

impl Instruction {
    const DENY: Instruction = Instruction::new(RETURN, 0, 0, DENIED);

    /// An instruction.
    #[must_use]
    pub const fn new(code: u16, if_true: u8, if_false: u8, value: u32) -> Self {
        Self {
            code,
            if_true,
            if_false,
            value,
        }
    }
}

impl FilterDecl {
    /// The program of the rules for which `holds`. Calls of a machine that is neither of the two end the process: nothing is
    /// known about their numbers. What is denied with `EPERM` of the calls that are `told` is asked about instead.
    #[must_use]
    pub fn program(
        &self,
        holds: impl Fn(&RuleDecl) -> bool,
        told: impl Fn(&str) -> bool,
    ) -> Vec<Instruction> {
        let rules = self.rules.iter().filter(|rule| holds(rule));
        let native = section(rules.clone().map(|rule| &rule.native), &told);
        let compat = section(rules.map(|rule| &rule.compat), &told);
        let length = u32::try_from(native.len()).unwrap_or(u32::MAX);
        let mut program = vec![
            Instruction::new(LOAD, 0, 0, MACHINE),
            Instruction::new(IF_EQUAL, 1, 0, self.native),
            Instruction::new(SKIP, 0, 0, length),
        ];
        program.extend(native);
        program.push(Instruction::new(IF_EQUAL, 1, 0, self.compat));
        program.push(Instruction::new(RETURN, 0, 0, KILL));
        program.extend(compat);
        program
    }

    /// The name of a call that some rule denies; `is_compat` says that it is a 32-bit one.
    #[must_use]
    pub fn name(&self, number: u32, is_compat: bool) -> Option<&'static str> {
        let codes = self.rules.iter().map(|rule| match is_compat {
            true => &rule.compat,
            false => &rule.native,
        });
        let mut calls = codes.flat_map(|code| code.calls);
        calls
            .find(|call| call.number == number)
            .map(|call| call.name)
    }
}

/// Calls that are compared with one after the other. The kernel tries every number when a filter is installed, to know
/// which calls it never has to ask about (`seccomp_cache_prepare`): a list without steps over its parts took ten times as
/// long. The code of eight calls fits into a jump.
const BLOCK: usize = 8;

fn section<'a>(
    rules: impl Iterator<Item = &'a RuleCode> + Clone,
    told: &dyn Fn(&str) -> bool,
) -> Vec<Instruction> {
    let mut code = vec![Instruction::new(LOAD, 0, 0, NUMBER)];
    code.extend(rules.clone().flat_map(|rule| rule.above));
    let mut calls: Vec<&CallDecl> = rules.flat_map(|rule| rule.calls).collect();
    calls.sort_by_key(|call| call.number);
    for calls in calls.chunks(BLOCK) {
        let mut block = Vec::new();
        for call in calls {
            block.push(Instruction::new(
                IF_EQUAL,
                0,
                length(call.code),
                call.number,
            ));
            let is_told = told(call.name);
            block.extend(call.code.iter().map(|one| match (is_told, *one) {
                (true, Instruction::DENY) => Instruction::new(RETURN, 0, 0, ASK),
                (_, one) => one,
            }));
        }
        block.push(Instruction::new(RETURN, 0, 0, ALLOW));
        let last = calls[calls.len() - 1].number;
        code.push(Instruction::new(IF_GREATER, length(&block), 0, last));
        code.extend(block);
    }
    code.push(Instruction::new(RETURN, 0, 0, ALLOW));
    code
}

fn length(code: &[Instruction]) -> u8 {
    u8::try_from(code.len()).expect("the declaration's checks bound the code of a call")
}
