//! Emits Rust from the checked model of the declaration: one emitter an item, thin code on the runtime in
//! `flatimage-reserved`.
//!
//! A library and not a macro, so that tests can show the expansion; apart from the generator of pages, which reads the
//! very tables that this becomes.

mod action;
mod bpf;
mod effect;
mod filter;
mod layout;
mod package_manager;
mod region;
mod typed;
mod variable;

use flatimage_schema::Model;
use proc_macro2::TokenStream;
use quote::quote;

/// The items that a declaration becomes. They name `::flatimage_reserved` by its absolute path.
#[must_use]
pub fn expand(model: &Model) -> TokenStream {
    let layout = layout::emit(model);
    let regions = region::emit(model);
    let types = typed::emit(model);
    let actions = action::emit(model);
    let filter = filter::emit(model);
    let package_managers = package_manager::emit(model);
    let variables = variable::emit(model);
    quote! {
        #layout
        #regions
        #types
        #actions
        #filter
        #package_managers
        #variables
    }
}

/// A name of the declaration as an identifier, raw where Rust keeps the word.
fn ident(name: &str) -> proc_macro2::Ident {
    let parsed = syn::parse_str::<proc_macro2::Ident>(name);
    parsed.unwrap_or_else(|_| proc_macro2::Ident::new_raw(name, proc_macro2::Span::call_site()))
}
