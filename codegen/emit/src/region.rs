//! Regions as tables.

use flatimage_schema::model::{
    Bit, Choice, Encoding, Field, FieldKind, Group, Hint, Model, Region, Side, Sign, Windows,
};
use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};

use crate::effect;

/// The table of all regions, and a constant for each.
pub fn emit(model: &Model) -> TokenStream {
    let tables = model.regions.iter().map(table);
    let constants = model.regions.iter().enumerate().map(|(place, region)| {
        let (name, summary) = (format_ident!("{}", region.name.upper()), &region.summary);
        quote! {
            #[doc = #summary]
            pub const #name: &::flatimage_reserved::RegionDecl = &REGIONS[#place];
        }
    });
    quote! {
        /// Every region, by offset.
        pub const REGIONS: &[::flatimage_reserved::RegionDecl] = &[#(#tables),*];
        #(#constants)*
    }
}

fn table(region: &Region) -> TokenStream {
    let Region {
        name,
        offset,
        size,
        summary,
        docs,
        ..
    } = region;
    let name = name.as_str();
    let command = option(region.command.as_ref().map(|command| command.as_str()));
    let encoding = encoding(&region.encoding);
    let default = Literal::byte_string(&region.default);
    let variable = option(region.variable.as_deref());
    let effects = effect::emit(&region.effects);
    quote! {
        ::flatimage_reserved::RegionDecl {
            name: #name,
            command: #command,
            offset: #offset,
            size: #size,
            encoding: #encoding,
            default: #default,
            summary: #summary,
            docs: #docs,
            variable: #variable,
            effects: #effects,
        }
    }
}

/// An optional text as an expression.
pub fn option(text: Option<&str>) -> TokenStream {
    match text {
        Some(text) => quote!(::core::option::Option::Some(#text)),
        None => quote!(::core::option::Option::None),
    }
}

fn encoding(encoding: &Encoding) -> TokenStream {
    let encoding = match encoding {
        Encoding::Flag => quote!(Flag),
        Encoding::Map => quote!(Map),
        Encoding::Blob => quote!(Blob),
        Encoding::Text { max, schemes, path } => {
            let path = match path {
                Some(path) => {
                    let path = side(*path);
                    quote!(::core::option::Option::Some(#path))
                }
                None => option(None),
            };
            quote!(Text { max: #max, schemes: &[#(#schemes),*], path: #path })
        }
        Encoding::Choice(choices) => {
            let choices = choices.iter().map(choice);
            quote!(Choice(&[#(#choices),*]))
        }
        Encoding::Bits(bits, groups) => {
            let (bits, groups) = (bits.iter().map(bit), groups.iter().map(group));
            quote!(Bits(&::flatimage_reserved::BitsDecl { bits: &[#(#bits),*], groups: &[#(#groups),*] }))
        }
        Encoding::List(fields) => {
            let fields = fields.iter().map(field);
            quote!(List(&[#(#fields),*]))
        }
        Encoding::Record(fields) => {
            let fields = fields.iter().map(field);
            quote!(Record(&[#(#fields),*]))
        }
    };
    quote!(::flatimage_reserved::Encoding::#encoding)
}

fn choice(choice: &Choice) -> TokenStream {
    let (name, output, summary) = (choice.name.as_str(), &choice.output, &choice.summary);
    let effects = effect::emit(&choice.effects);
    quote! {
        ::flatimage_reserved::ChoiceDecl { name: #name, output: #output, summary: #summary, effects: #effects }
    }
}

fn bit(bit: &Bit) -> TokenStream {
    let Bit {
        number,
        summary,
        docs,
        ..
    } = bit;
    let name = bit.name.as_str();
    let required = option(bit.required.as_deref());
    let hint = match &bit.hint {
        Some(hint) => {
            let hint = self::hint(hint);
            quote!(::core::option::Option::Some(#hint))
        }
        None => option(None),
    };
    let (effects, otherwise) = (effect::emit(&bit.effects), effect::emit(&bit.otherwise));
    quote! {
        ::flatimage_reserved::BitDecl {
            number: #number,
            name: #name,
            summary: #summary,
            docs: #docs,
            required: #required,
            hint: #hint,
            effects: #effects,
            otherwise: #otherwise,
        }
    }
}

fn hint(hint: &Hint) -> TokenStream {
    let (text, maps_ids) = (&hint.text, hint.maps_ids);
    let sign = match &hint.sign {
        Sign::Calls(names) => quote!(Calls(&[#(#names),*])),
        Sign::Unreachable => quote!(Unreachable),
        Sign::Windows(Windows {
            variable,
            libraries,
        }) => quote!(Windows { variable: #variable, libraries: &[#(#libraries),*] }),
    };
    quote! {
        ::flatimage_reserved::HintDecl {
            text: #text,
            sign: ::flatimage_reserved::Sign::#sign,
            maps_ids: #maps_ids,
        }
    }
}

fn group(group: &Group) -> TokenStream {
    let (name, mask, summary) = (group.name.as_str(), group.mask, &group.summary);
    quote!(::flatimage_reserved::GroupDecl { name: #name, mask: #mask, summary: #summary })
}

fn field(field: &Field) -> TokenStream {
    let (name, output, summary) = (field.name.as_str(), &field.output, &field.summary);
    let unset = option(field.unset.as_deref());
    let kind = match &field.kind {
        FieldKind::Text => quote!(Text),
        FieldKind::Path(path) => {
            let path = side(*path);
            quote!(Path(#path))
        }
        FieldKind::Number => quote!(Number),
        FieldKind::Texts => quote!(Texts),
        FieldKind::Choice(names) => {
            let names = names.iter().map(|name| name.as_str());
            quote!(Choice(&[#(#names),*]))
        }
    };
    quote! {
        ::flatimage_reserved::Field {
            name: #name,
            output: #output,
            kind: ::flatimage_reserved::FieldKind::#kind,
            unset: #unset,
            summary: #summary,
        }
    }
}

fn side(side: Side) -> TokenStream {
    match side {
        Side::Host => quote!(::flatimage_reserved::Side::Host),
        Side::Container => quote!(::flatimage_reserved::Side::Container),
    }
}
