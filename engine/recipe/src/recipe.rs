//! Recipes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{NAME, Unfit, is_name, parse};

/// What makes a program, in `{remote}/{distribution}/latest/{name}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What it is, for people.
    pub description: String,
    /// Packages as the distribution's package manager knows them. Each begins with a letter or a digit and has no blanks.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(inner(regex(pattern = r"^[A-Za-z0-9][!-~]*$")))
    )]
    pub packages: Vec<String>,
    /// Names of recipes whose packages are installed before.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(inner(length(max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")))
    )]
    pub dependencies: Vec<String>,
    /// How the program is shown on a desktop, as `fim-desktop setup` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<Map<String, Value>>,
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// JSON of another form, members that are not known, and packages or names that could be taken for something else.
    pub fn parse(bytes: &[u8]) -> Result<Recipe, Unfit> {
        let recipe: Recipe = parse(bytes)?;
        if let Some(package) = recipe.packages.iter().find(|text| !is_package(text)) {
            let line = format!(
                "`{}` is no package; one begins with a letter or a digit and has no blanks",
                package.escape_debug()
            );
            return Err(Unfit(line));
        }
        if let Some(name) = recipe.dependencies.iter().find(|text| !is_name(text)) {
            return Err(Unfit(format!(
                "`{}` cannot be the name of a recipe; {NAME}",
                name.escape_debug()
            )));
        }
        Ok(recipe)
    }
}

/// Package managers take versions and architectures in many spellings, but nothing that begins like an option.
fn is_package(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_description_can_be_left_out() {
        let recipe = Recipe::parse(br#"{"description": "a"}"#).expect("a recipe");
        assert_eq!((recipe.packages.len(), recipe.dependencies.len()), (0, 0));
        let all =
            br#"{"description": "a", "packages": ["g++:i386", "a=1.2~3"], "dependencies": ["b"],
            "desktop": {"name": "A"}}"#;
        let recipe = Recipe::parse(all).expect("a recipe");
        let printed = serde_json::to_vec(&recipe).expect("JSON");
        assert_eq!(Recipe::parse(&printed), Ok(recipe));
    }

    #[test]
    fn what_is_wrong_is_named_in_one_line() {
        for (text, expected) in [
            ("", "EOF"),
            ("[]", "invalid"),
            ("{}", "missing field `description`"),
            (
                r#"{"description": "a", "package": []}"#,
                "unknown field `package`",
            ),
            (r#"{"description": 1}"#, "expected a string"),
            (
                r#"{"description": "a", "packages": ["-y"]}"#,
                "`-y` is no package",
            ),
            (
                r#"{"description": "a", "packages": ["a b"]}"#,
                "`a b` is no package",
            ),
            (
                r#"{"description": "a", "packages": ["a\nb"]}"#,
                "`a\\nb` is no package",
            ),
            (
                r#"{"description": "a", "packages": [""]}"#,
                "`` is no package",
            ),
            (
                r#"{"description": "a", "dependencies": ["../a"]}"#,
                "`../a` cannot be",
            ),
            (r#"{"description": "a", "desktop": []}"#, "expected a map"),
        ] {
            let line = Recipe::parse(text.as_bytes()).expect_err(text).to_string();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
        assert!(Recipe::parse(b"\xff").is_err());
    }
}
