//! Actions as tables, as types of their arguments, and as the trait that the engine implements.

use flatimage_schema::model::{Action, ActionVerb, Argument, ArgumentKind, Model, Shape};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use crate::ident;

/// Tables, types, trait and dispatch of all actions, and the parser of command lines.
pub fn emit(model: &Model) -> TokenStream {
    let tables = model.actions.iter().map(table);
    let types = model.actions.iter().map(arguments_type);
    let dispatch = dispatch(model);
    let parser = parser();
    quote! {
        /// Every command that is not a setting.
        pub const ACTIONS: &[::flatimage_reserved::ActionDecl] = &[#(#tables),*];
        /// Everything that can be typed.
        pub const PROGRAM: ::flatimage_reserved::Program =
            ::flatimage_reserved::Program { regions: REGIONS, actions: ACTIONS };
        /// Types of the arguments of each action.
        pub mod arguments { #(#types)* }
        #dispatch
        #parser
    }
}

fn table(action: &Action) -> TokenStream {
    let (name, summary, docs) = (action.name.as_str(), &action.summary, &action.docs);
    let shape = match &action.shape {
        Shape::Arguments(arguments) => {
            let arguments = arguments_table(arguments);
            quote!(Arguments(#arguments))
        }
        Shape::Verbs(verbs) => {
            let verbs = verbs.iter().map(|verb| {
                let (name, summary) = (verb.name.as_str(), &verb.summary);
                let arguments = arguments_table(&verb.arguments);
                quote!(::flatimage_reserved::ActionVerb { name: #name, summary: #summary, arguments: #arguments })
            });
            quote!(Verbs(&[#(#verbs),*]))
        }
    };
    quote! {
        ::flatimage_reserved::ActionDecl {
            name: #name,
            summary: #summary,
            docs: #docs,
            shape: ::flatimage_reserved::Shape::#shape,
        }
    }
}

fn arguments_table(arguments: &[Argument]) -> TokenStream {
    let arguments = arguments.iter().map(|argument| {
        let Argument {
            optional, summary, ..
        } = argument;
        let name = argument.name.as_str();
        let kind = match argument.kind {
            ArgumentKind::Text => quote!(Text),
            ArgumentKind::Path => quote!(Path),
            ArgumentKind::Switch => quote!(Switch),
            ArgumentKind::Command => quote!(Command),
        };
        quote! {
            ::flatimage_reserved::Argument {
                name: #name,
                kind: ::flatimage_reserved::ArgumentKind::#kind,
                optional: #optional,
                summary: #summary,
            }
        }
    });
    quote!(&[#(#arguments),*])
}

/// The struct of an action's arguments, or the enum of its verbs.
fn arguments_type(action: &Action) -> TokenStream {
    let (name, summary) = (type_name(action), &action.summary);
    let (item, body) = match &action.shape {
        Shape::Arguments(arguments) => {
            let members = arguments.iter().map(|argument| {
                let member = member(argument);
                quote!(pub #member)
            });
            let docs = arguments.iter().map(|argument| &argument.summary);
            let values = arguments.iter().map(value);
            let body = quote!(::core::option::Option::Some(Self { #(#values),* }));
            (
                quote!(pub struct #name { #(#[doc = #docs] #members),* }),
                body,
            )
        }
        Shape::Verbs(verbs) => {
            let variants = verbs.iter().map(variant);
            let arms = verbs.iter().map(arm);
            let body =
                quote!(match parsed.verb()? { #(#arms,)* _ => ::core::option::Option::None });
            (quote!(pub enum #name { #(#variants),* }), body)
        }
    };
    quote! {
        #[doc = #summary]
        #[derive(Debug, Clone, PartialEq, Eq)]
        #item
        impl #name {
            /// From arguments that have been told apart; `None` when they are another action's.
            #[must_use]
            pub fn from_parsed(parsed: &::flatimage_reserved::Parsed) -> ::core::option::Option<Self> {
                #body
            }
        }
    }
}

fn type_name(action: &Action) -> Ident {
    format_ident!("{}", action.name.camel())
}

fn variant(verb: &ActionVerb) -> TokenStream {
    let (name, summary) = (format_ident!("{}", verb.name.camel()), &verb.summary);
    if verb.arguments.is_empty() {
        return quote!(#[doc = #summary] #name);
    }
    let docs = verb.arguments.iter().map(|argument| &argument.summary);
    let members = verb.arguments.iter().map(member);
    quote!(#[doc = #summary] #name { #(#[doc = #docs] #members),* })
}

fn arm(verb: &ActionVerb) -> TokenStream {
    let (text, name) = (verb.name.as_str(), format_ident!("{}", verb.name.camel()));
    let values = verb.arguments.iter().map(value);
    quote!(#text => ::core::option::Option::Some(Self::#name { #(#values),* }))
}

fn member(argument: &Argument) -> TokenStream {
    let name = ident(&argument.name.snake());
    let kind = match (argument.kind, argument.optional) {
        (ArgumentKind::Switch, _) => quote!(bool),
        (ArgumentKind::Command, _) => quote!(::std::vec::Vec<::std::ffi::OsString>),
        (ArgumentKind::Text, false) => quote!(::std::string::String),
        (ArgumentKind::Text, true) => quote!(::core::option::Option<::std::string::String>),
        (ArgumentKind::Path, false) => quote!(::std::path::PathBuf),
        (ArgumentKind::Path, true) => quote!(::core::option::Option<::std::path::PathBuf>),
    };
    quote!(#name: #kind)
}

fn value(argument: &Argument) -> TokenStream {
    let (name, text) = (ident(&argument.name.snake()), argument.name.as_str());
    let take = match (argument.kind, argument.optional) {
        (ArgumentKind::Switch, _) => quote!(switch),
        (ArgumentKind::Command, _) => quote!(command),
        (ArgumentKind::Text, false) => quote!(text),
        (ArgumentKind::Text, true) => quote!(text_if_given),
        (ArgumentKind::Path, false) => quote!(path),
        (ArgumentKind::Path, true) => quote!(path_if_given),
    };
    quote!(#name: parsed.#take(#text))
}

/// The enum of actions, the trait with one method each, and what ties them together.
fn dispatch(model: &Model) -> TokenStream {
    let types: Vec<Ident> = model.actions.iter().map(type_name).collect();
    let methods: Vec<Ident> = model
        .actions
        .iter()
        .map(|action| ident(&action.name.snake()))
        .collect();
    let names = model.actions.iter().map(|action| action.name.as_str());
    let summaries: Vec<&String> = model.actions.iter().map(|action| &action.summary).collect();
    quote! {
        /// An action with its arguments.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Action { #(#[doc = #summaries] #types(arguments::#types)),* }
        /// What the engine does for each action.
        pub trait Actions {
            /// What doing one comes to.
            type Outcome;
            #(#[doc = #summaries] fn #methods(&mut self, arguments: arguments::#types) -> Self::Outcome;)*
        }
        impl Action {
            /// Calls the method of this action.
            pub fn dispatch<A: Actions>(self, actions: &mut A) -> A::Outcome {
                match self { #(Self::#types(arguments) => actions.#methods(arguments)),* }
            }
            /// The action of that name with these arguments; `None` when they do not belong together.
            #[must_use]
            pub fn from_parsed(
                name: &str,
                parsed: &::flatimage_reserved::Parsed,
            ) -> ::core::option::Option<Self> {
                match name {
                    #(#names => arguments::#types::from_parsed(parsed).map(Self::#types),)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}

fn parser() -> TokenStream {
    quote! {
        /// What a command line asks for.
        pub type Invocation = ::flatimage_reserved::Invocation<Action>;
        /// Understands a command line whose first word starts with `fim-`; only the command typed is built.
        ///
        /// # Errors
        /// Unknown commands and verbs, answered with the nearest known one; arguments too few, too many or not UTF-8.
        pub fn parse(arguments: &[::std::ffi::OsString])
            -> ::core::result::Result<Invocation, ::flatimage_reserved::CliError>
        {
            PROGRAM.parse_with(arguments, Action::from_parsed)
        }
        /// The help: of all commands, or of the one named with or without `fim-`.
        ///
        /// # Errors
        /// An unknown command.
        pub fn help(command: ::core::option::Option<&str>)
            -> ::core::result::Result<::std::string::String, ::flatimage_reserved::CliError>
        {
            PROGRAM.help(command)
        }
        /// All commands, for completions and manual pages.
        #[must_use]
        pub fn cli() -> ::flatimage_reserved::clap::Command {
            PROGRAM.command()
        }
    }
}
