//! Programs that install packages as a table.

use flatimage_schema::Model;
use flatimage_schema::model::PackageManager;
use proc_macro2::TokenStream;
use quote::quote;

/// `PACKAGE_MANAGERS`.
pub fn emit(model: &Model) -> TokenStream {
    let managers = model.package_managers.iter().map(table);
    quote! {
        /// The programs that install packages, in the order in which they are looked for.
        pub const PACKAGE_MANAGERS: &[::flatimage_reserved::PackageManagerDecl] = &[#(#managers),*];
    }
}

fn table(manager: &PackageManager) -> TokenStream {
    let PackageManager {
        program,
        summary,
        distributions,
        refresh,
        install,
    } = manager;
    quote! {
        ::flatimage_reserved::PackageManagerDecl {
            program: #program,
            summary: #summary,
            distributions: &[#(#distributions),*],
            refresh: &[#(#refresh),*],
            install: &[#(#install),*],
        }
    }
}
