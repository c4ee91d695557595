//! Constants of the whole reserved space, and the checks that the compiler repeats.

use flatimage_schema::Model;
use proc_macro2::{Literal, TokenStream};
use quote::quote;

/// Format version, sizes, digest and layout; assertions that every region has room.
pub fn emit(model: &Model) -> TokenStream {
    let (format, size, layout) = (model.format, model.size, model.layout());
    let digest = Literal::byte_string(&model.digest());
    let disjoint = disjoint(model);
    quote! {
        /// Version of the binary format.
        pub const FORMAT: u32 = #format;
        /// Bytes of the reserved space when a build does not choose another size.
        pub const DEFAULT_SIZE: u64 = #size;
        /// Bytes of the reserved space of this build: `FIM_RESERVED_SIZE`, else [`DEFAULT_SIZE`].
        pub const RESERVED_SIZE: u64 =
            ::flatimage_reserved::reserved_size(::core::option_env!("FIM_RESERVED_SIZE"), DEFAULT_SIZE);
        /// Name, offset, size and encoding of every region, one a line.
        pub const LAYOUT: &str = #layout;
        /// sha256 of everything that gives the bytes a meaning.
        pub const DIGEST: &[u8; 32] = #digest;
        /// The reserved space of images that this build makes.
        pub const SPACE: ::flatimage_reserved::Space = ::flatimage_reserved::Space {
            format: FORMAT,
            size: RESERVED_SIZE,
            layout: LAYOUT,
            digest: DIGEST,
            regions: REGIONS,
        };
        #disjoint
    }
}

/// Second line of defence behind the checks of the declaration.
fn disjoint(model: &Model) -> TokenStream {
    let last = model
        .regions
        .iter()
        .map(|region| region.offset + region.size)
        .max()
        .unwrap_or(0);
    let message = format!("FIM_RESERVED_SIZE is too small: the regions need {last} bytes");
    quote! {
        const _: () = {
            let mut end = ::flatimage_reserved::SUPERBLOCK_SIZE;
            let mut place = 0;
            while place < REGIONS.len() {
                assert!(REGIONS[place].offset >= end, "regions overlap");
                end = REGIONS[place].end();
                place += 1;
            }
            assert!(end <= RESERVED_SIZE, #message);
        };
    }
}
