//! The order in which recipes are installed: each after those that it needs.

use crate::Recipe;

/// The most recipes that one may come to, so that a remote cannot go on for ever.
pub const MOST: usize = 256;

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError<E> {
    /// A recipe that cannot be had.
    #[error("{reason}{}", of_whom(needed_by.as_deref()))]
    Missing {
        /// Why not.
        reason: E,
        /// Which recipe needs it, unless it was asked for.
        needed_by: Option<String>,
    },
    /// Recipes that need one another. The first is named again at the end.
    #[error("recipes need one another: {}", names(.0))]
    Cycle(Vec<String>),
    /// Too many.
    #[error("they need more than {MOST} recipes")]
    Many,
}

fn of_whom(needed_by: Option<&str>) -> String {
    needed_by.map_or(String::new(), |name| {
        format!(" (the recipe `{name}` needs it)")
    })
}

fn names(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" needs ")
}

/// The recipes that are asked for and all that they need, each once and after those that it needs; otherwise in the order in
/// which they are named. `load` is asked once for each.
///
/// # Errors
/// When one cannot be loaded, or they need one another.
pub fn order<E>(
    wanted: &[String],
    load: &mut dyn FnMut(&str) -> Result<Recipe, E>,
) -> Result<Vec<(String, Recipe)>, OrderError<E>> {
    let mut search = Search {
        load,
        above: Vec::new(),
        done: Vec::new(),
    };
    wanted.iter().try_for_each(|name| search.visit(name))?;
    Ok(search.done)
}

struct Search<'a, E> {
    load: &'a mut dyn FnMut(&str) -> Result<Recipe, E>,
    /// From what was asked for to what is looked at.
    above: Vec<String>,
    done: Vec<(String, Recipe)>,
}

impl<E> Search<'_, E> {
    fn visit(&mut self, name: &str) -> Result<(), OrderError<E>> {
        if self.done.iter().any(|(known, _)| known == name) {
            return Ok(());
        }
        if let Some(first) = self.above.iter().position(|known| known == name) {
            let mut cycle = self.above[first..].to_vec();
            cycle.push(name.to_owned());
            return Err(OrderError::Cycle(cycle));
        }
        if self.above.len() + self.done.len() >= MOST {
            return Err(OrderError::Many);
        }
        let recipe = (self.load)(name).map_err(|reason| OrderError::Missing {
            reason,
            needed_by: self.above.last().cloned(),
        })?;
        self.above.push(name.to_owned());
        for needed in &recipe.dependencies {
            self.visit(needed)?;
        }
        self.above.pop();
        self.done.push((name.to_owned(), recipe));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of recipes that need others, as `name: needed needed`.
    fn ordered(wanted: &str, needs: &[&str]) -> Result<String, String> {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut asked = Vec::new();
        let mut load = |name: &str| {
            assert!(!asked.contains(&name.to_owned()), "{name} is loaded twice");
            asked.push(name.to_owned());
            let found = needs.iter().find_map(|line| {
                let (known, needed) = line.split_once(':')?;
                (known == name).then(|| words(needed))
            });
            let dependencies = found.ok_or_else(|| format!("no `{name}`"))?;
            Ok(Recipe {
                description: String::new(),
                packages: Vec::new(),
                dependencies,
                desktop: None,
            })
        };
        let found = order(&words(wanted), &mut load)
            .map_err(|error: OrderError<String>| error.to_string())?;
        let names: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
        Ok(names.join(" "))
    }

    #[test]
    fn what_is_needed_comes_first_and_the_rest_as_it_is_named() {
        let needs = ["a: c b", "b: d", "c:", "d: c", "e:"];
        assert_eq!(ordered("a", &needs).as_deref(), Ok("c d b a"));
        assert_eq!(ordered("e a e", &needs).as_deref(), Ok("e c d b a"));
        assert_eq!(ordered("d b", &needs).as_deref(), Ok("c d b"));
        assert_eq!(ordered("", &needs).as_deref(), Ok(""));
    }

    #[test]
    fn what_has_no_order_is_named() {
        let cycle = ordered("x", &["x: a", "a: b", "b: c", "c: a"]);
        let expected = "recipes need one another: `a` needs `b` needs `c` needs `a`";
        assert_eq!(cycle, Err(expected.to_owned()));
        let itself = ordered("a", &["a: a"]);
        assert_eq!(
            itself,
            Err("recipes need one another: `a` needs `a`".to_owned())
        );
        let missing = ordered("a", &["a: b"]);
        assert_eq!(missing, Err("no `b` (the recipe `a` needs it)".to_owned()));
        assert_eq!(ordered("a", &[]), Err("no `a`".to_owned()));
    }

    #[test]
    fn a_chain_without_an_end_has_one() {
        let chain: Vec<String> = (0..2 * MOST)
            .map(|place| format!("n{place}: n{}", place + 1))
            .collect();
        let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
        let error = ordered("n0", &chain).expect_err("no end");
        assert_eq!(error, "they need more than 256 recipes");
    }
}
