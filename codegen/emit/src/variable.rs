//! Variables of the host that belong to no region: a table, and a type for each.

use flatimage_schema::Name;
use flatimage_schema::model::{Model, Variable};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use crate::typed;

/// `VARIABLES`, and the choice that each of them is.
pub fn emit(model: &Model) -> TokenStream {
    let tables = model.variables.iter().map(table);
    let types = model.variables.iter().map(choice);
    quote! {
        /// The variables of the host that belong to no region.
        pub const VARIABLES: &[::flatimage_reserved::VariableDecl] = &[#(#tables),*];
        #(#types)*
    }
}

fn table(variable: &Variable) -> TokenStream {
    let (name, summary, docs) = (variable.full_name(), &variable.summary, &variable.docs);
    let choices = variable.choices.iter().map(|(name, summary)| {
        let name = name.as_str();
        quote!((#name, #summary))
    });
    quote! {
        ::flatimage_reserved::VariableDecl {
            name: #name,
            summary: #summary,
            docs: #docs,
            choices: &[#(#choices),*],
        }
    }
}

fn choice(variable: &Variable) -> TokenStream {
    let ident = format_ident!("{}", variable.name.camel());
    let names: Vec<&Name> = variable.choices.iter().map(|(name, _)| name).collect();
    let choice = typed::choice(&ident, &variable.summary, &names);
    let table = table(variable);
    quote! {
        #choice
        impl #ident {
            /// The choice that the caller made.
            ///
            /// # Errors
            /// A text that is none of them.
            pub fn chosen(
                variable: impl ::core::ops::Fn(&str) -> ::core::option::Option<::std::string::String>,
            ) -> ::core::result::Result<Self, ::flatimage_reserved::VariableError> {
                const DECL: &::flatimage_reserved::VariableDecl = &#table;
                DECL.read(variable, Self::named)
            }
        }
    }
}
