//! The shell around `flatimage-emit`: reads the file, reports its mistakes, tracks it.

use std::path::{Path, PathBuf};

use proc_macro::TokenStream;
use quote::quote;
use syn::LitStr;

/// Expands the declaration at the path given, relative to the crate that calls it, to its tables and types.
///
/// Mistakes in the declaration become one compile error that names them all, with file and line.
#[proc_macro]
pub fn reserved(input: TokenStream) -> TokenStream {
    let literal = syn::parse_macro_input!(input as LitStr);
    match expand(&literal.value()) {
        Ok(tokens) => tokens.into(),
        Err(message) => syn::Error::new(literal.span(), message)
            .into_compile_error()
            .into(),
    }
}

fn expand(path: &str) -> Result<proc_macro2::TokenStream, String> {
    let root = std::env::var("CARGO_MANIFEST_DIR")
        .map_err(|_| "`CARGO_MANIFEST_DIR` is not set; build with cargo")?;
    let file: PathBuf = Path::new(&root).join(path);
    let file = file
        .canonicalize()
        .map_err(|error| format!("cannot find `{}`: {error}", file.display()))?;
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
    let file = file
        .to_str()
        .ok_or("the path of the declaration is not UTF-8; move the workspace")?;
    let model = flatimage_schema::load(file, &text).map_err(|report| report.to_string())?;
    let items = flatimage_emit::expand(&model);
    // Without this, a change of the file would not rebuild what depends on it.
    Ok(quote! {
        const _: &[u8] = ::core::include_bytes!(#file);
        #items
    })
}
