//! The variables of the host that say something of one start.

use flatimage_reserved::VariableDecl;
use flatimage_reserved::declared::{REGIONS, VARIABLES};

use super::{code, page, table};

const INTRODUCTION: &str = "
What a variable of the host says counts for one start. An empty one counts as unset, and what cannot be understood is an error.
";

/// The page of variables.
pub fn variables() -> String {
    let regions = REGIONS.iter().filter_map(|region| {
        let command = code(&format!("fim-{}", region.command.unwrap_or(region.name)));
        let summary = format!(
            "counts instead of what {command} stored: {}",
            region.summary
        );
        Some([code(region.variable?), summary])
    });
    let own = VARIABLES.iter().map(|variable| {
        let name = variable.name;
        let link = format!("[`{name}`](#{})", name.to_lowercase());
        [link, variable.summary.to_owned()]
    });
    let sections: String = VARIABLES.iter().map(section).collect();
    let summary = table(["variable", "says"], own.chain(regions));
    page("Variables", INTRODUCTION, &format!("{summary}{sections}"))
}

fn section(variable: &VariableDecl) -> String {
    let choices = variable.choices.iter().enumerate();
    let choices = choices.map(|(place, (name, summary))| {
        let note = if place == 0 { " (the default)" } else { "" };
        [format!("{}{note}", code(name)), (*summary).to_owned()]
    });
    let choices = table(["in it", "does"], choices);
    format!(
        "## {}\n\n{}\n\n{choices}",
        variable.name,
        variable.docs.trim()
    )
}
