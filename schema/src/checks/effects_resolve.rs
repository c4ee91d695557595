//! Effects make sense where they stand: placeholders are known, conditions can hold, paths are paths.

use crate::model::Access;
use crate::model::build::access;
use crate::nearest;
use crate::report::Report;
use crate::source::{Bind, Bus, Effect, Encoding, Field, FieldKind, Source, When};

pub fn check(source: &Source, report: &mut Report) {
    let rules = Rules::of(source);
    for placed in &source.regions {
        let (path, region) = (&placed.path, &placed.item);
        let scope = Scope::of(&region.encoding, &rules);
        scope.each(report, &format!("{path}.effects"), &region.effects);
        match &region.encoding {
            Encoding::Bits(bits) => {
                for (place, bit) in bits.bits.iter().enumerate() {
                    let path = format!("{path}.encoding.bits.bits[{place}]");
                    scope.each(report, &format!("{path}.effects"), &bit.effects);
                    scope.each(report, &format!("{path}.otherwise"), &bit.otherwise);
                }
            }
            Encoding::Choice(choices) => {
                for (place, choice) in choices.iter().enumerate() {
                    scope.each(
                        report,
                        &format!("{path}.encoding.choice[{place}].effects"),
                        &choice.effects,
                    );
                }
            }
            _ => {}
        }
    }
}

/// The rules of the filter by what effects can say of them.
struct Rules<'a> {
    /// Those that can be allowed.
    deny: Vec<&'a str>,
    /// Those that can be asked for.
    emulate: Vec<&'a str>,
}

impl<'a> Rules<'a> {
    fn of(source: &'a Source) -> Self {
        let names = |emulates| {
            let rules = source.filter.iter().map(|placed| &placed.item);
            let rules = rules.filter(move |rule| rule.emulates == emulates);
            rules.map(|rule| rule.name.as_str()).collect()
        };
        Rules {
            deny: names(false),
            emulate: names(true),
        }
    }
}

/// What effects can refer to at one place.
#[derive(Clone)]
struct Scope<'a> {
    encoding: &'a Encoding,
    /// Placeholders that mean something.
    known: Vec<&'a str>,
    /// The fields of the record at hand.
    fields: &'a [Field],
    /// The rules of the filter.
    rules: &'a Rules<'a>,
    /// Inside a `for-each`.
    entry: bool,
}

impl<'a> Scope<'a> {
    fn of(encoding: &'a Encoding, rules: &'a Rules<'a>) -> Self {
        let mut scope = Scope {
            encoding,
            known: Vec::new(),
            fields: &[],
            rules,
            entry: false,
        };
        match encoding {
            Encoding::Text(_) | Encoding::Choice(_) | Encoding::Flag => scope.known.push("value"),
            Encoding::Record(fields) => scope.record(&fields.fields),
            _ => {}
        }
        scope
    }

    fn record(&mut self, fields: &'a [Field]) {
        self.fields = fields;
        self.known = fields.iter().map(|field| field.name.as_str()).collect();
    }

    fn each(&self, report: &mut Report, path: &str, effects: &[Effect]) {
        for (place, effect) in effects.iter().enumerate() {
            self.one(report, &format!("{path}[{place}]"), effect);
        }
    }

    fn one(&self, report: &mut Report, path: &str, effect: &Effect) {
        match effect {
            Effect::Bind(bind) => self.bind(report, &format!("{path}.bind"), bind),
            Effect::Libraries(libraries) => {
                self.path(
                    report,
                    &format!("{path}.libraries.target"),
                    &libraries.target,
                );
                let odd = |name: &String| name.is_empty() || name.contains('/');
                for (place, name) in libraries.names.iter().enumerate().filter(|it| odd(it.1)) {
                    report.add(
                        &format!("{path}.libraries.names[{place}]"),
                        format!("`{name}` is no pattern for the name of a library"),
                        "name it without a directory, as `libexample.so*`",
                    );
                }
            }
            Effect::Setenv(setenv) => {
                self.template(report, &format!("{path}.setenv.name"), &setenv.name);
                variable(report, &format!("{path}.setenv.name"), &setenv.name);
                self.template(report, &format!("{path}.setenv.value"), &setenv.value);
            }
            Effect::Tmpfs(tmpfs) => {
                self.path(report, &format!("{path}.tmpfs.target"), &tmpfs.target)
            }
            Effect::Symlink(symlink) => {
                self.path(report, &format!("{path}.symlink.link"), &symlink.link);
                self.template(report, &format!("{path}.symlink.target"), &symlink.target);
            }
            Effect::Share(_)
            | Effect::Fold(_)
            | Effect::Stack(_)
            | Effect::Portal(_)
            | Effect::Subordinate(_) => {}
            Effect::Admit(admit) => {
                self.template(report, &format!("{path}.admit.program"), &admit.program);
            }
            Effect::Bus(bus) => self.bus(report, &format!("{path}.bus"), bus),
            Effect::Allow(allow) => {
                named(
                    report,
                    &format!("{path}.allow"),
                    &allow.rules,
                    &self.rules.deny,
                );
            }
            Effect::Emulate(emulate) => {
                let known = &self.rules.emulate;
                named(report, &format!("{path}.emulate"), &emulate.rules, known);
            }
            Effect::File(file) => self.path(report, &format!("{path}.file.target"), &file.target),
            Effect::Unmask(unmask) => {
                self.path(report, &format!("{path}.unmask.target"), &unmask.target);
            }
            Effect::Enter(enter) => {
                self.path(report, &format!("{path}.enter.directory"), &enter.directory);
            }
            Effect::ForEach(each) => {
                let path = format!("{path}.for-each");
                match self.entry() {
                    Some(scope) => scope.each(report, &format!("{path}.effects"), &each.effects),
                    None => report.add(
                        &path,
                        "`for-each` stands in a region that is neither a map nor a list",
                        "leave it out",
                    ),
                }
            }
            Effect::When(when) => self.when(report, &format!("{path}.when"), when),
        }
    }

    fn bus(&self, report: &mut Report, path: &str, bus: &Bus) {
        self.template(report, &format!("{path}.address"), &bus.address);
        self.path(report, &format!("{path}.target"), &bus.target);
        for (key, names) in [("talk", &bus.talk), ("own", &bus.own)] {
            for (place, name) in names
                .iter()
                .enumerate()
                .filter(|(_, name)| !is_bus_name(name))
            {
                report.add(
                    &format!("{path}.{key}[{place}]"),
                    format!("`{name}` is no name on a message bus"),
                    "write it as `org.example.Name`, or `org.example.*` for all below",
                );
            }
        }
    }

    /// The scope inside a `for-each` here.
    fn entry(&self) -> Option<Self> {
        let mut scope = Scope {
            entry: true,
            ..self.clone()
        };
        match self.encoding {
            _ if self.entry => return None,
            Encoding::Map => scope.known = vec!["key", "value"],
            Encoding::List(fields) => scope.record(&fields.fields),
            _ => return None,
        }
        Some(scope)
    }

    fn bind(&self, report: &mut Report, path: &str, bind: &Bind) {
        self.path(report, &format!("{path}.source"), &bind.source);
        if let Some(target) = &bind.target {
            self.path(report, &format!("{path}.target"), target);
        }
        let at = format!("{path}.access");
        match access(&bind.access) {
            None => {
                let hint = nearest::hint(&bind.access, &["ro", "rw", "dev"]);
                report.add(&at, format!("unknown access `{}`", bind.access), hint);
            }
            Some(Access::Field(name)) => {
                let field = self.fields.iter().find(|field| field.name == name.as_str());
                let names = field.and_then(|field| match &field.kind {
                    FieldKind::Choice(names) => Some(names),
                    _ => None,
                });
                if !names.is_some_and(|names| {
                    names
                        .iter()
                        .all(|name| ["ro", "rw", "dev"].contains(&name.as_str()))
                }) {
                    let what = format!("`{name}` is no field that holds an access");
                    report.add(
                        &at,
                        what,
                        "name a field of the kind `choice: [ro, rw, dev]`",
                    );
                }
            }
            Some(_) => {}
        }
    }

    fn when(&self, report: &mut Report, path: &str, when: &When) {
        let fact = when.root.or(when.privileged);
        if when.env.is_none() && when.exists.is_none() && fact.is_none() && when.is.is_none() {
            report.add(
                path,
                "`when` has no condition",
                "give `env`, `exists`, `root`, `privileged` or `is`",
            );
        }
        if let Some(env) = &when.env {
            variable(report, &format!("{path}.env"), env);
        }
        if let Some(exists) = &when.exists {
            self.path(report, &format!("{path}.exists"), exists);
        }
        if let Some(is) = &when.is {
            let known: Vec<&str> = match self.encoding {
                Encoding::Flag => vec!["on", "off"],
                Encoding::Choice(choices) => {
                    choices.iter().map(|choice| choice.name.as_str()).collect()
                }
                _ => Vec::new(),
            };
            if known.is_empty() {
                let what = "`is` stands in a region that is neither a flag nor a choice";
                report.add(&format!("{path}.is"), what, "leave it out");
            } else if !known.contains(&is.as_str()) {
                report.add(
                    &format!("{path}.is"),
                    format!("the value is never `{is}`"),
                    nearest::hint(is, &known),
                );
            }
        }
        self.each(report, &format!("{path}.effects"), &when.effects);
    }

    /// A path is absolute, or starts with a variable or a placeholder.
    fn path(&self, report: &mut Report, path: &str, template: &str) {
        if !template.starts_with(['/', '$', '{']) {
            report.add(
                path,
                format!("`{template}` is no absolute path"),
                "start it with `/`, `$NAME` or a placeholder",
            );
        }
        self.template(report, path, template);
    }

    fn template(&self, report: &mut Report, path: &str, template: &str) {
        for name in placeholders(template)
            .into_iter()
            .filter(|name| !self.known.contains(name))
        {
            let mend = if self.known.is_empty() {
                "no placeholder means anything here; `$NAME` is a variable of the host".to_owned()
            } else {
                nearest::hint(name, &self.known)
            };
            report.add(path, format!("unknown placeholder `{{{name}}}`"), mend);
        }
    }
}

/// Names of rules, of which only those in `known` can stand here.
fn named(report: &mut Report, path: &str, rules: &[String], known: &[&str]) {
    let unknown = rules
        .iter()
        .enumerate()
        .filter(|(_, name)| !known.contains(&name.as_str()));
    for (place, name) in unknown {
        let what = format!("unknown rule `{name}`");
        let path = format!("{path}.rules[{place}]");
        report.add(&path, what, nearest::hint(name, known));
    }
}

/// The name of a variable, which may have placeholders in it.
fn variable(report: &mut Report, path: &str, name: &str) {
    if name.is_empty() || name.contains(['=', '$', '\0']) {
        report.add(
            path,
            format!("`{name}` is no name of a variable"),
            "write the name alone, without `$` and `=`",
        );
    }
}

/// The names in braces, `${NAME}` excepted.
fn placeholders(template: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, tail) = (&rest[..open], &rest[open + 1..]);
        let Some(close) = tail.find('}') else { break };
        if !before.ends_with('$') {
            found.push(&tail[..close]);
        }
        rest = &tail[close + 1..];
    }
    found
}

/// A well-known name as the D-Bus specification has it, or all names below one.
fn is_bus_name(name: &str) -> bool {
    let whole = name.strip_suffix(".*").unwrap_or(name);
    let is_element = |element: &str| {
        let mut bytes = element.bytes();
        let first = bytes.next();
        first.is_some_and(|byte| !byte.is_ascii_digit())
            && element
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    name.len() <= 255 && whole.contains('.') && whole.split('.').all(is_element)
}
