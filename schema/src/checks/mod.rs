//! One check a file, each named for the truth that it leaves behind. All of them run, whatever the others find.

mod arguments_parse;
mod bits_unique;
mod choices_there;
mod defaults_decode;
mod docs_complete;
mod effects_resolve;
mod filter_sound;
mod hints_true;
mod names_unique;
mod names_well_formed;
mod package_managers_sound;
mod regions_disjoint;
mod schemes_sound;
mod sizes_fit;
mod variables_readable;

use crate::report::Report;
use crate::source::Source;

/// Runs every check.
pub fn all(source: &Source, report: &mut Report) {
    names_well_formed::check(source, report);
    names_unique::check(source, report);
    regions_disjoint::check(source, report);
    sizes_fit::check(source, report);
    bits_unique::check(source, report);
    choices_there::check(source, report);
    defaults_decode::check(source, report);
    effects_resolve::check(source, report);
    filter_sound::check(source, report);
    hints_true::check(source, report);
    arguments_parse::check(source, report);
    variables_readable::check(source, report);
    schemes_sound::check(source, report);
    package_managers_sound::check(source, report);
    docs_complete::check(source, report);
}
