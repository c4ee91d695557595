//! The filter of system calls as a table, with the code of each rule for the machine that is compiled for.

use flatimage_schema::Model;
use flatimage_schema::machine::Machine;
use flatimage_schema::model::{Answer, Calls, Denial, Rule, Test};
use proc_macro2::TokenStream;
use quote::quote;

use crate::bpf::{self, Instruction};

/// A machine with its own and its 32-bit calls.
const MACHINES: [(&str, Machine, Machine); 2] = [
    ("x86_64", Machine::X86_64, Machine::X86),
    ("aarch64", Machine::Aarch64, Machine::Arm),
];

/// `FILTER`, once for each machine.
pub fn emit(model: &Model) -> TokenStream {
    let filters = MACHINES.iter().map(|(name, native, compat)| {
        let rules = model
            .filter
            .iter()
            .map(|rule| rule_of(rule, *native, *compat));
        let (native, compat) = (native.audit(), compat.audit());
        quote! {
            /// What the filter of system calls denies.
            #[cfg(target_arch = #name)]
            pub const FILTER: ::flatimage_reserved::FilterDecl = ::flatimage_reserved::FilterDecl {
                native: #native,
                compat: #compat,
                rules: &[#(#rules),*],
            };
        }
    });
    let names = MACHINES.iter().map(|(name, ..)| name);
    quote! {
        #(#filters)*
        #[cfg(not(any(#(target_arch = #names),*)))]
        ::core::compile_error!("the filter of system calls is not known for this machine");
    }
}

fn rule_of(rule: &Rule, native: Machine, compat: Machine) -> TokenStream {
    let (name, summary, reason) = (rule.name.as_str(), &rule.summary, &rule.reason);
    let emulates = rule.emulates;
    let denied = rule.deny.iter().map(denied);
    let (native, compat) = (code(rule, native), code(rule, compat));
    quote! {
        ::flatimage_reserved::RuleDecl {
            name: #name,
            summary: #summary,
            reason: #reason,
            emulates: #emulates,
            denied: &[#(#denied),*],
            native: #native,
            compat: #compat,
        }
    }
}

fn code(rule: &Rule, machine: Machine) -> TokenStream {
    let above = instructions(&bpf::above(rule, machine));
    let calls = bpf::calls(rule, machine)
        .into_iter()
        .map(|(name, number, code)| {
            let code = instructions(&code);
            quote!(::flatimage_reserved::CallDecl { name: #name, number: #number, code: #code })
        });
    quote!(::flatimage_reserved::RuleCode { above: #above, calls: &[#(#calls),*] })
}

fn instructions(code: &[Instruction]) -> TokenStream {
    let instructions = code.iter().map(|instruction| {
        let Instruction {
            code,
            if_true,
            if_false,
            value,
        } = instruction;
        quote!(::flatimage_reserved::Instruction::new(#code, #if_true, #if_false, #value))
    });
    quote!(&[#(#instructions),*])
}

/// What is denied, in words.
fn denied(denial: &Denial) -> String {
    let calls = match &denial.calls {
        Calls::Named(names) => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Calls::Above(name) => format!("every call newer than `{name}`"),
    };
    let condition = denial
        .condition
        .as_ref()
        .map_or(String::new(), |(argument, test)| {
            let hex = |values: &[u32]| {
                values
                    .iter()
                    .map(|value| format!("{value:#x}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let test = match test {
                Test::AnyOf(values) => format!("is one of {}", hex(values)),
                Test::NoneOf(values) => format!("is none of {}", hex(values)),
                Test::AnyBitOf(bits) => format!("has a bit of {bits:#x}"),
            };
            format!(" when argument {argument} {test}")
        });
    let answer = match denial.answer {
        Answer::NotPermitted => "EPERM",
        Answer::NoSuchCall => "ENOSYS",
        Answer::NoSuchFamily => "EAFNOSUPPORT",
        Answer::Done => "no error, and nothing is done",
        Answer::Asked => "as the call that it stands for",
    };
    format!("{calls}{condition}: {answer}")
}
