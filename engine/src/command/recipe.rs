//! `fim-recipe`: which packages make a program, and having them installed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use flatimage_recipe::{NAME, OrderError, Recipe, is_name, order};
use flatimage_reserved::PackageManagerDecl;
use flatimage_reserved::declared::PACKAGE_MANAGERS;

use super::description::{Beside, Described};
use super::remote::Remote;
use super::unfinished::Unfinished;
use super::{Session, json, print};
use crate::data::changes::RECIPES;
use crate::marker;
use crate::relocate;
use crate::remote::Wanted;
use crate::sandbox::{Failure, OURS, plain};

/// The most bytes of a recipe.
const MOST: u64 = 1 << 20;

/// Prints the first of its arguments that is a program.
const FIND: &str =
    "for name; do command -v \"$name\" > /dev/null && echo \"$name\" && exit; done; exit 1";

impl Session {
    /// Fetches recipes and those that they need, whether they are kept or not.
    pub(super) fn fetch_recipes(&self, names: &str) -> Result<u8, Failure> {
        let remote = self.needed_remote()?;
        let fetched = order(&parse(names)?, &mut |name| self.fetched(&remote, name));
        fetched.map(|_| 0).map_err(unordered)
    }

    /// Prints recipes that are kept.
    pub(super) fn show_recipes(&self, names: &str) -> Result<u8, Failure> {
        let mut shown = BTreeMap::new();
        for name in parse(names)? {
            let missing = || {
                Failure::ours(format!(
                    "the recipe `{name}` has not been fetched; `fim-recipe fetch {name}` does that"
                ))
            };
            let recipe = self.kept(&name)?.ok_or_else(missing)?;
            shown.insert(name, recipe);
        }
        print(&format!("{}\n", json(&shown)?))
    }

    /// Installs the packages of recipes and of those that they need, and sets the image up for the desktop as the first of the named
    /// ones says that says something. Nothing is installed before all of them are there.
    pub(super) fn install_recipes(&self, names: &str) -> Result<u8, Failure> {
        let mut remote = None;
        let names = parse(names)?;
        let recipes = order(&names, &mut |name| match self.kept(name)? {
            Some(recipe) => Ok(recipe),
            None => {
                let found = match remote.take() {
                    Some(remote) => remote,
                    None => self.needed_remote()?,
                };
                self.fetched(remote.insert(found), name)
            }
        });
        let recipes = recipes.map_err(unordered)?;
        let described = self.described_by(&recipes, &names, remote)?;
        match packages(&recipes) {
            none if none.is_empty() => eprintln!("there are no packages to install"),
            packages => {
                self.demand_network()?;
                self.install(self.package_manager()?, &packages)?;
            }
        }
        if let Some(described) = described {
            self.set_up_desktop(described)?;
        }
        Ok(0)
    }

    /// What the first of the `named` recipes with a word about it says of the desktop.
    fn described_by(
        &self,
        recipes: &[(String, Recipe)],
        named: &[String],
        remote: Option<Remote<'_>>,
    ) -> Result<Option<Described>, Failure> {
        let mut says = named.iter().filter_map(|name| {
            let (_, recipe) = recipes.iter().find(|(known, _)| known == name)?;
            Some((name, recipe.desktop.as_ref()?))
        });
        let Some((name, desktop)) = says.next() else {
            return Ok(None);
        };
        let given = serde_json::Value::Object(desktop.clone());
        // Recipes that are kept need no remote, and neither do icons that have an address.
        let remote = match remote {
            Some(remote) => Some(remote),
            None => self.remote()?,
        };
        let described = self.described(&given, &Beside::Remote(remote.as_ref()));
        described.map(Some).map_err(|failure| {
            let text = failure.text;
            Failure::ours(format!("`desktop` of the recipe `{name}`: {text}"))
        })
    }

    fn install(&self, by: &PackageManagerDecl, packages: &[&str]) -> Result<(), Failure> {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let (refresh, mut install) = (words(by.refresh), words(by.install));
        install.extend(words(packages));
        for (command, what) in [(refresh, by.refresh), (install, by.install)] {
            let code = self.start(command, true)?;
            if code != 0 {
                let what = what.join(" ");
                return Err(Failure::ours(format!(
                    "`{what}` ended with {code}, see above; mend that and install again"
                )));
            }
        }
        Ok(())
    }

    fn needed_remote(&self) -> Result<Remote<'_>, Failure> {
        self.remote()?.ok_or_else(|| {
            Failure::ours(
                "there is no remote to fetch recipes from; `fim-remote set URL` names one",
            )
        })
    }

    /// Fetches a recipe and keeps it. One that is no recipe does not replace one that is.
    fn fetched(&self, remote: &Remote<'_>, name: &str) -> Result<Recipe, Failure> {
        let file = format!("{name}.json");
        let vouched = remote.vouched(&file)?;
        let address = remote.address(&file);
        let wanted = Wanted {
            address: &address,
            sum: vouched.sum.as_deref(),
            most: vouched.size.unwrap_or(MOST).min(MOST),
        };
        let bytes = remote.read(&wanted, &file);
        let bytes = bytes.map_err(|unfetched| Failure::ours(unfetched.words()))?;
        let recipe = Recipe::parse(&bytes).map_err(|error| {
            Failure::ours(format!(
                "`{address}` is no recipe: {error}; ask whoever keeps it"
            ))
        })?;
        let path = self.recipe_path(name);
        let keep = || {
            let mut directories = fs::DirBuilder::new();
            let directory = path.parent().ok_or(io::ErrorKind::NotFound)?;
            directories.mode(0o700).recursive(true).create(directory)?;
            let unfinished = Unfinished::beside(&path)?;
            io::Write::write_all(&mut unfinished.file(), &bytes)?;
            unfinished.replace(&path)
        };
        keep().map_err(|error| {
            let path = path.display();
            Failure::ours(format!(
                "cannot keep the recipe in `{path}`: {}",
                plain(&error)
            ))
        })?;
        Ok(recipe)
    }

    /// The recipe as it was fetched.
    fn kept(&self, name: &str) -> Result<Option<Recipe>, Failure> {
        let path = self.recipe_path(name);
        let unusable = |reason: String| {
            let path = path.display();
            Failure::ours(format!(
                "cannot use the recipe `{path}`: {reason}; `fim-recipe fetch {name}` fetches it anew"
            ))
        };
        match fs::read(&path) {
            Ok(bytes) => {
                let recipe = Recipe::parse(&bytes);
                recipe
                    .map(Some)
                    .map_err(|error| unusable(error.to_string()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(plain(&error))),
        }
    }

    fn recipe_path(&self, name: &str) -> PathBuf {
        let directory = self
            .data_path()
            .join(RECIPES)
            .join(&marker::origin().distribution);
        directory.join(format!("{name}.json"))
    }

    /// Package managers say much and nothing of it clear when there is no network.
    fn demand_network(&self) -> Result<(), Failure> {
        let plan = self.planned(vec!["true".into()])?;
        match plan.namespaces.contains(&"net") {
            false => Ok(()),
            true => Err(Failure::ours(
                "packages are fetched from inside of the container, which has no network; \
                 `fim-perms add network` gives it the host's",
            )),
        }
    }

    /// The package manager of the image's distribution, else the first that its container has.
    fn package_manager(&self) -> Result<&'static PackageManagerDecl, Failure> {
        let distribution = marker::origin().distribution.as_str();
        let own = |manager: &&PackageManagerDecl| manager.distributions.contains(&distribution);
        if let Some(manager) = PACKAGE_MANAGERS.iter().find(own) {
            return Ok(manager);
        }
        let programs: Vec<&str> = PACKAGE_MANAGERS
            .iter()
            .map(|manager| manager.program)
            .collect();
        let found = self.first_program(&programs)?;
        let manager = PACKAGE_MANAGERS
            .iter()
            .find(|manager| manager.program == found);
        manager.ok_or_else(|| {
            let programs = programs.join(", ");
            Failure::ours(format!(
                "the container has no package manager to install with (none of {programs}); \
                 use an image of a distribution that has one"
            ))
        })
    }

    /// The first of the programs that the container has, or nothing. A start of its own, because what the container has is
    /// only known in it.
    fn first_program(&self, programs: &[&str]) -> Result<String, Failure> {
        let asked = Command::new(&self.image.path)
            .args(["fim-root", "bash", "-c", FIND, "bash"])
            .args(programs)
            .env_clear()
            .envs(relocate::environment())
            .stdin(Stdio::null())
            .output();
        let asked = asked.map_err(|error| {
            Failure::ours(format!("cannot look into the container: {}", plain(&error)))
        })?;
        if asked.status.code() == Some(i32::from(OURS)) {
            let words = String::from_utf8_lossy(&asked.stderr);
            let last = words.lines().last().unwrap_or_default();
            return Err(Failure::ours(last.trim_start_matches("error: ")));
        }
        Ok(String::from_utf8_lossy(&asked.stdout).trim().to_owned())
    }
}

/// All packages in the order of the recipes, each once.
fn packages(recipes: &[(String, Recipe)]) -> Vec<&str> {
    let mut seen = HashSet::new();
    let all = recipes.iter().flat_map(|(_, recipe)| &recipe.packages);
    all.map(String::as_str)
        .filter(|package| seen.insert(*package))
        .collect()
}

fn parse(names: &str) -> Result<Vec<String>, Failure> {
    let names = names.split(',').map(|name| match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(Failure::ours(format!(
            "`{name}` cannot be the name of a recipe; {NAME}"
        ))),
    });
    names.collect()
}

fn unordered(error: OrderError<Failure>) -> Failure {
    Failure::ours(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_come_once_and_in_order() {
        let recipe = |packages: &[&str]| {
            let recipe = Recipe {
                description: String::new(),
                packages: packages.iter().map(|text| (*text).to_owned()).collect(),
                dependencies: Vec::new(),
                desktop: None,
            };
            (String::new(), recipe)
        };
        let recipes = [recipe(&["b", "a"]), recipe(&[]), recipe(&["c", "a", "b"])];
        assert_eq!(packages(&recipes), ["b", "a", "c"]);
    }

    #[test]
    fn names_are_separated_by_commas_and_lead_nowhere() {
        assert_eq!(parse("a,b").unwrap(), ["a", "b"]);
        for names in ["", ",", "a,", "a, b", "../a", "a,b/c"] {
            assert!(parse(names).is_err(), "{names}");
        }
    }
}
