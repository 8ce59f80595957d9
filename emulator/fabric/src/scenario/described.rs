//! Structures that know their own documentation, so that the reference cannot say something else than the types.

/// A key of a table in a scenario file.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it is, one line per element.
    pub about: &'static [&'static str],
    /// Its value where the file does not give one.
    pub default: String,
}

/// A table of a scenario file.
pub trait Described {
    /// What the table is, one line per element.
    const ABOUT: &'static [&'static str];

    /// Its keys, in order.
    fn keys() -> Vec<Key>;
}

/// Declares a table: a structure with defaults, read from a file, that describes itself.
macro_rules! described {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $ty:ty = $default:expr,)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $ty,)*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)* }
            }
        }

        impl crate::scenario::Described for $name {
            const ABOUT: &'static [&'static str] = &[$($about),+];

            fn keys() -> Vec<crate::scenario::Key> {
                let defaults = $name::default();
                vec![$(crate::scenario::Key {
                    name: stringify!($field),
                    about: &[$($doc),+],
                    default: format!("{:?}", defaults.$field),
                }),*]
            }
        }
    };
}

pub(crate) use described;
