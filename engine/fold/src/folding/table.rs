pub const UNICODE_VERSION: &str = "";
pub(super) struct Range { pub(super) first: u32, pub(super) last: u32, pub(super) step: u32, pub(super) distance: i32 }
pub(super) const RANGES: &[Range] = &[];
