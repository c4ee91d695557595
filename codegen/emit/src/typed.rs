//! A type for every setting, and `Config`, which holds them all.

use flatimage_schema::Name;
use flatimage_schema::model::{Bit, Encoding, Field, FieldKind, Model, Region};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use crate::ident;

/// The types of all regions and the configuration of an image.
pub fn emit(model: &Model) -> TokenStream {
    let types = model.regions.iter().map(declared);
    let config = config(model);
    quote! { #(#types)* #config }
}

/// The type that a region needs beside those of the standard library.
fn declared(region: &Region) -> TokenStream {
    let name = format_ident!("{}", type_name(region));
    match &region.encoding {
        Encoding::Bits(bits, _) => set(&name, &region.summary, bits),
        Encoding::Choice(choices) => {
            let names: Vec<&Name> = choices.iter().map(|choice| &choice.name).collect();
            let choice = choice(&name, &region.summary, &names);
            quote! {
                #choice
                impl ::flatimage_reserved::typed::FromValue for #name {
                    fn from_value(value: &::flatimage_reserved::Value) -> ::core::option::Option<Self> {
                        match value {
                            ::flatimage_reserved::Value::Choice(name) => Self::named(name),
                            _ => ::core::option::Option::None,
                        }
                    }
                }
            }
        }
        Encoding::List(fields) | Encoding::Record(fields) => record(&name, &region.summary, fields),
        Encoding::Flag | Encoding::Text { .. } | Encoding::Map | Encoding::Blob => {
            TokenStream::new()
        }
    }
}

/// The name of the type: that of the region, without the `s` of a list.
fn type_name(region: &Region) -> String {
    let name = region.name.camel();
    match (&region.encoding, name.strip_suffix('s')) {
        (Encoding::List(_), Some(one)) => one.to_owned(),
        _ => name,
    }
}

fn set(name: &Ident, summary: &str, bits: &[Bit]) -> TokenStream {
    let constants = bits.iter().map(|bit| {
        let (constant, number, summary) = (
            format_ident!("{}", bit.name.upper()),
            bit.number,
            &bit.summary,
        );
        quote! {
            #[doc = #summary]
            pub const #constant: Self = Self(1 << #number);
        }
    });
    quote! {
        #[doc = #summary]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct #name(pub u64);
        impl #name {
            #(#constants)*
            /// Whether all bits of `other` are set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }
        impl ::flatimage_reserved::typed::FromValue for #name {
            fn from_value(value: &::flatimage_reserved::Value) -> ::core::option::Option<Self> {
                match value {
                    ::flatimage_reserved::Value::Bits(set) => ::core::option::Option::Some(Self(*set)),
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}

/// An enum of names.
pub fn choice(name: &Ident, summary: &str, names: &[&Name]) -> TokenStream {
    let variants: Vec<Ident> = names
        .iter()
        .map(|name| format_ident!("{}", name.camel()))
        .collect();
    let texts: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let docs = texts.iter().map(|text| format!("`{text}`"));
    quote! {
        #[doc = #summary]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum #name { #(#[doc = #docs] #variants),* }
        impl #name {
            /// The choice of that name.
            #[must_use]
            pub fn named(name: &str) -> ::core::option::Option<Self> {
                match name {
                    #(#texts => ::core::option::Option::Some(Self::#variants),)*
                    _ => ::core::option::Option::None,
                }
            }
            /// The name as it is typed and stored.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { #(Self::#variants => #texts),* }
            }
        }
    }
}

fn record(name: &Ident, summary: &str, fields: &[Field]) -> TokenStream {
    let choices = fields.iter().filter_map(|field| match &field.kind {
        FieldKind::Choice(names) => Some(field_choice(name, field, names)),
        _ => None,
    });
    let members = fields.iter().map(|field| {
        let (member, kind, summary) = (
            ident(&field.name.snake()),
            kind(name, field),
            &field.summary,
        );
        quote!(#[doc = #summary] pub #member: #kind)
    });
    let idents: Vec<Ident> = fields
        .iter()
        .map(|field| ident(&field.name.snake()))
        .collect();
    let places = 0..fields.len();
    let values = fields
        .iter()
        .zip(&idents)
        .map(|(field, member)| value(field, member));
    let count = fields.len();
    quote! {
        #(#choices)*
        #[doc = #summary]
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct #name { #(#members),* }
        impl ::flatimage_reserved::typed::FromRecord for #name {
            fn from_record(record: &::flatimage_reserved::Record) -> ::core::option::Option<Self> {
                let fields: &[::flatimage_reserved::FieldValue; #count] = record.0.as_slice().try_into().ok()?;
                ::core::option::Option::Some(Self {
                    #(#idents: ::flatimage_reserved::typed::FromField::from_field(&fields[#places])?),*
                })
            }
        }
        impl ::core::convert::From<#name> for ::flatimage_reserved::Record {
            fn from(record: #name) -> Self {
                Self(::std::vec![#(::flatimage_reserved::FieldValue::#values),*])
            }
        }
    }
}

fn field_choice(record: &Ident, field: &Field, names: &[Name]) -> TokenStream {
    let name = field_type(record, field);
    let choice = choice(&name, &field.summary, &names.iter().collect::<Vec<_>>());
    quote! {
        #choice
        impl ::flatimage_reserved::typed::FromField for #name {
            fn from_field(field: &::flatimage_reserved::FieldValue) -> ::core::option::Option<Self> {
                match field {
                    ::flatimage_reserved::FieldValue::Text(name) => Self::named(name),
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}

fn field_type(record: &Ident, field: &Field) -> Ident {
    format_ident!("{record}{}", field.name.camel())
}

fn kind(record: &Ident, field: &Field) -> TokenStream {
    match field.kind {
        FieldKind::Text | FieldKind::Path(_) => quote!(::std::string::String),
        FieldKind::Number => quote!(u64),
        FieldKind::Texts => quote!(::std::vec::Vec<::std::string::String>),
        FieldKind::Choice(_) => {
            let name = field_type(record, field);
            quote!(#name)
        }
    }
}

fn value(field: &Field, member: &Ident) -> TokenStream {
    match field.kind {
        FieldKind::Text | FieldKind::Path(_) => quote!(Text(record.#member)),
        FieldKind::Number => quote!(Number(record.#member)),
        FieldKind::Texts => quote!(Texts(record.#member)),
        FieldKind::Choice(_) => quote!(Text(record.#member.name().to_owned())),
    }
}

fn config(model: &Model) -> TokenStream {
    let members = model.regions.iter().map(|region| {
        let (member, kind, summary) = (
            ident(&region.name.snake()),
            region_type(region),
            &region.summary,
        );
        quote!(#[doc = #summary] pub #member: #kind)
    });
    let names: Vec<Ident> = model
        .regions
        .iter()
        .map(|region| ident(&region.name.snake()))
        .collect();
    let places = 0..names.len();
    quote! {
        /// Every setting of an image.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config { #(#members),* }
        impl Config {
            /// The settings among values that are in the order of [`REGIONS`]; `None` when they are not.
            #[must_use]
            pub fn of(values: &[::flatimage_reserved::Value]) -> ::core::option::Option<Self> {
                ::core::option::Option::Some(Self {
                    #(#names: ::flatimage_reserved::typed::FromValue::from_value(values.get(#places)?)?),*
                })
            }
        }
    }
}

fn region_type(region: &Region) -> TokenStream {
    let name = format_ident!("{}", type_name(region));
    match &region.encoding {
        Encoding::Flag => quote!(bool),
        Encoding::Text { .. } => quote!(::core::option::Option<::std::string::String>),
        Encoding::Map => {
            quote!(::std::collections::BTreeMap<::std::string::String, ::std::string::String>)
        }
        Encoding::Blob => quote!(::std::vec::Vec<u8>),
        Encoding::List(_) => quote!(::std::vec::Vec<#name>),
        Encoding::Record(_) => quote!(::core::option::Option<#name>),
        Encoding::Choice(_) | Encoding::Bits(..) => quote!(#name),
    }
}
