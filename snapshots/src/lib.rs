//! Pins what must not change by accident: binary layout, bytes, command line and the expansion of the declaration. The
//! pins are in `tests/`; this crate is empty.
