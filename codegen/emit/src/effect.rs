//! Effects as tables.

use flatimage_schema::Name;
use flatimage_schema::model::{Access, Condition, Effect, Missing, Namespace, Stacker};
use proc_macro2::TokenStream;
use quote::quote;

/// A slice of effects as an expression.
pub fn emit(effects: &[Effect]) -> TokenStream {
    let effects = effects.iter().map(one);
    quote!(&[#(#effects),*])
}

fn one(effect: &Effect) -> TokenStream {
    let effect = match effect {
        Effect::Bind {
            source,
            target,
            access,
            missing,
            glob,
        } => {
            let (access, missing) = (self::access(access), self::missing(*missing));
            quote!(Bind { source: #source, target: #target, access: #access, missing: #missing, glob: #glob })
        }
        Effect::Libraries { names, target } => {
            quote!(Libraries { names: &[#(#names),*], target: #target })
        }
        Effect::Setenv { name, value } => quote!(Setenv { name: #name, value: #value }),
        Effect::Tmpfs { target } => quote!(Tmpfs { target: #target }),
        Effect::Symlink { link, target } => quote!(Symlink { link: #link, target: #target }),
        Effect::Share { namespace } => {
            let namespace = self::namespace(*namespace);
            quote!(Share { namespace: #namespace })
        }
        Effect::Fold => quote!(Fold),
        Effect::Subordinate => quote!(Subordinate),
        Effect::Allow { rules } => {
            let rules = rules.iter().map(Name::as_str);
            quote!(Allow { rules: &[#(#rules),*] })
        }
        Effect::Emulate { rules } => {
            let rules = rules.iter().map(Name::as_str);
            quote!(Emulate { rules: &[#(#rules),*] })
        }
        Effect::File { target, text } => quote!(File { target: #target, text: #text }),
        Effect::Unmask { target } => quote!(Unmask { target: #target }),
        Effect::Enter { directory } => quote!(Enter { directory: #directory }),
        Effect::Stack { with } => {
            let with = stacker(*with);
            quote!(Stack { with: #with })
        }
        Effect::Portal => quote!(Portal),
        Effect::Admit { program } => quote!(Admit { program: #program }),
        Effect::Bus {
            address,
            target,
            talk,
            own,
        } => quote!(Bus {
            address: #address,
            target: #target,
            talk: &[#(#talk),*],
            own: &[#(#own),*],
        }),
        Effect::ForEach { effects } => {
            let effects = emit(effects);
            quote!(ForEach { effects: #effects })
        }
        Effect::When {
            conditions,
            effects,
        } => {
            let (conditions, effects) = (conditions.iter().map(condition), emit(effects));
            quote!(When { conditions: &[#(#conditions),*], effects: #effects })
        }
    };
    quote!(::flatimage_reserved::Effect::#effect)
}

fn access(access: &Access) -> TokenStream {
    let is = match access {
        Access::Ro => quote!(Ro),
        Access::Rw => quote!(Rw),
        Access::Dev => quote!(Dev),
        Access::Field(name) => {
            let name = name.as_str();
            return quote!(::flatimage_reserved::AccessDecl::Field(#name));
        }
    };
    quote!(::flatimage_reserved::AccessDecl::Is(::flatimage_reserved::Access::#is))
}

fn missing(missing: Missing) -> TokenStream {
    let missing = match missing {
        Missing::Skip => quote!(Skip),
        Missing::Fail => quote!(Fail),
    };
    quote!(::flatimage_reserved::Missing::#missing)
}

fn namespace(namespace: Namespace) -> TokenStream {
    let namespace = match namespace {
        Namespace::User => quote!(User),
        Namespace::Ipc => quote!(Ipc),
        Namespace::Pid => quote!(Pid),
        Namespace::Net => quote!(Net),
        Namespace::Uts => quote!(Uts),
        Namespace::Cgroup => quote!(Cgroup),
    };
    quote!(::flatimage_reserved::Namespace::#namespace)
}

fn stacker(stacker: Stacker) -> TokenStream {
    let stacker = match stacker {
        Stacker::Kernel => quote!(Kernel),
        Stacker::FuseOverlayfs => quote!(FuseOverlayfs),
        Stacker::UnionfsFuse => quote!(UnionfsFuse),
    };
    quote!(::flatimage_reserved::Stacker::#stacker)
}

fn condition(condition: &Condition) -> TokenStream {
    let condition = match condition {
        Condition::Env(name) => quote!(Env(#name)),
        Condition::Exists(path) => quote!(Exists(#path)),
        Condition::Root(root) => quote!(Root(#root)),
        Condition::Privileged(privileged) => quote!(Privileged(#privileged)),
        Condition::Is(value) => quote!(Is(#value)),
    };
    quote!(::flatimage_reserved::Condition::#condition)
}
