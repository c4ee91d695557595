//! What a remote serves, and what installs the packages of recipes.

use flatimage_recipe::schema;
use flatimage_reserved::declared::PACKAGE_MANAGERS;

use super::{code, page, table};

const INTRODUCTION: &str = "
The files of a remote by their JSON Schemas, which are those of the types that read them, and the package managers that recipes are installed with.
[Remotes and recipes](../remote-and-recipes.md) says how they are used.
";

/// The page of remotes.
pub fn remote() -> String {
    let managers = PACKAGE_MANAGERS.iter().map(|manager| {
        [
            code(manager.program),
            manager.summary.to_owned(),
            code(&manager.refresh.join(" ")),
            code(&format!("{} …", manager.install.join(" "))),
        ]
    });
    let managers = table(["program", "of", "first", "then"], managers);
    let body = format!(
        "## A recipe\n\n`{{remote}}/{{distribution}}/latest/{{name}}.json`\n\n{}\n\
         ## An index\n\n`{{remote}}/{{distribution}}/latest/index.json`\n\n{}\n\
         ## Package managers\n\n{managers}",
        json(&schema::recipe()),
        json(&schema::index())
    );
    page("What a remote serves", INTRODUCTION, &body)
}

fn json(text: &str) -> String {
    format!("```json\n{text}```\n")
}
