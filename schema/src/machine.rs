//! Machines and the numbers that system calls have on them.

use std::str::FromStr;

use syscalls::{aarch64, arm, x86, x86_64};

/// A calling convention of the kernel, as a filter of system calls sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86, also by `int 0x80` of a 64-bit program.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
}

impl Machine {
    /// All of them.
    pub const ALL: [Machine; 4] = [
        Machine::X86_64,
        Machine::X86,
        Machine::Aarch64,
        Machine::Arm,
    ];

    /// `AUDIT_ARCH_*` of linux/audit.h.
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Machine::X86_64 => 0xc000_003e,
            Machine::X86 => 0x4000_0003,
            Machine::Aarch64 => 0xc000_00b7,
            Machine::Arm => 0x4000_0028,
        }
    }

    /// The number of the call of that name; `None` where there is none.
    #[must_use]
    pub fn number(self, call: &str) -> Option<u32> {
        let number = |id: i32| u32::try_from(id).ok();
        match self {
            Machine::X86_64 => x86_64::Sysno::from_str(call)
                .ok()
                .and_then(|call| number(call.id())),
            Machine::X86 => x86::Sysno::from_str(call)
                .ok()
                .and_then(|call| number(call.id())),
            Machine::Aarch64 => aarch64::Sysno::from_str(call)
                .ok()
                .and_then(|call| number(call.id())),
            Machine::Arm => arm::Sysno::from_str(call)
                .ok()
                .and_then(|call| number(call.id())),
        }
    }
}

/// The names of all calls of all machines.
pub fn calls() -> impl Iterator<Item = &'static str> {
    let x86_64 = x86_64::Sysno::iter().map(|call| call.name());
    let x86 = x86::Sysno::iter().map(|call| call.name());
    let aarch64 = aarch64::Sysno::iter().map(|call| call.name());
    let arm = arm::Sysno::iter().map(|call| call.name());
    x86_64.chain(x86).chain(aarch64).chain(arm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_each_machine() {
        // `keyctl` in the tables of Linux (arch/x86/entry/syscalls, scripts/syscall.tbl, arch/arm/tools/syscall.tbl).
        let numbers = Machine::ALL.map(|machine| machine.number("keyctl"));
        assert_eq!(numbers, [Some(250), Some(288), Some(219), Some(311)]);
        assert_eq!(Machine::Aarch64.number("ioperm"), None);
    }
}
