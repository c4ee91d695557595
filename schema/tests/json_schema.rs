//! The JSON Schema that editors use: it knows every name, accepts the declaration, and refuses the mistakes that a schema can see.

use std::fs;
use std::path::Path;

use flatimage_schema::json_schema::json_schema;
use flatimage_schema::load;
use serde_json::{Map, Value};

/// As much of draft-07 as the schema uses; anything else fails the test.
struct Schema(Value);

/// Words that say something to people, or are followed from where they are used.
const SILENT: [&str; 8] = [
    "$schema",
    "$comment",
    "title",
    "description",
    "default",
    "definitions",
    "format",
    "minimum",
];

impl Schema {
    fn of_the_declaration() -> Self {
        Self(serde_json::from_str(&json_schema()).expect("JSON"))
    }

    /// Why `value` is refused: places and what is wrong there.
    fn refuses(&self, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.node(&self.0, value, "", &mut found);
        found
    }

    fn node(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let Value::Object(schema) = schema else {
            assert_eq!(
                *schema,
                Value::Bool(true),
                "a schema is an object or `true`"
            );
            return;
        };
        for (word, rule) in schema {
            match word.as_str() {
                "$ref" => {
                    let pointer = rule
                        .as_str()
                        .and_then(|text| text.strip_prefix('#'))
                        .expect("a local reference");
                    self.node(self.0.pointer(pointer).expect("defined"), value, at, found);
                }
                "type" => self.kind(rule, value, at, found),
                "const" if rule != value => found.push(format!("{at}: is not {rule}")),
                "const" => {}
                "maximum" if value.as_f64() > rule.as_f64() => {
                    found.push(format!("{at}: is above {rule}"))
                }
                "maximum" => {}
                "required" => required(rule, value, at, found),
                "properties" | "additionalProperties" => {
                    self.members(schema, word, value, at, found)
                }
                "items" => {
                    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.node(rule, item, &format!("{at}[{place}]"), found);
                    }
                }
                "allOf" => {
                    for part in rule.as_array().expect("a list") {
                        self.node(part, value, at, found);
                    }
                }
                "anyOf" => {
                    let mut parts = rule.as_array().expect("a list").iter().map(|part| {
                        let mut inner = Vec::new();
                        self.node(part, value, at, &mut inner);
                        inner
                    });
                    let first = parts.next().unwrap_or_default();
                    if !first.is_empty() && !parts.any(|inner| inner.is_empty()) {
                        found.extend(first);
                    }
                }
                "oneOf" => {
                    let fitting = rule.as_array().expect("a list").iter().filter(|choice| {
                        let mut inner = Vec::new();
                        self.node(choice, value, at, &mut inner);
                        inner.is_empty()
                    });
                    match fitting.count() {
                        1 => {}
                        count => found.push(format!("{at}: fits {count} of the choices")),
                    }
                }
                silent => assert!(SILENT.contains(&silent), "teach this test `{silent}`"),
            }
        }
        let below = schema
            .get("minimum")
            .is_some_and(|least| value.as_f64() < least.as_f64());
        if below && value.is_number() {
            found.push(format!("{at}: is below {}", schema["minimum"]));
        }
    }

    fn kind(&self, rule: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let is = |kind: &Value| match kind.as_str().expect("the name of a type") {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("teach this test the type `{other}`"),
        };
        let fits = match rule {
            Value::Array(kinds) => kinds.iter().any(is),
            kind => is(kind),
        };
        if !fits {
            found.push(format!("{at}: is no {rule}"));
        }
    }

    fn members(
        &self,
        schema: &Map<String, Value>,
        word: &str,
        value: &Value,
        at: &str,
        found: &mut Vec<String>,
    ) {
        let declared = schema.get("properties").and_then(Value::as_object);
        for (name, member) in value.as_object().into_iter().flatten() {
            let known = declared.and_then(|declared| declared.get(name));
            match (word, known) {
                ("properties", Some(schema)) => {
                    self.node(schema, member, &format!("{at}.{name}"), found)
                }
                ("additionalProperties", None) if schema[word] == false => {
                    found.push(format!("{at}: does not know `{name}`"));
                }
                _ => {}
            }
        }
    }
}

fn required(rule: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(given) = value.as_object() else {
        return;
    };
    for name in rule
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
    {
        if !given.contains_key(name) {
            found.push(format!("{at}: has no `{name}`"));
        }
    }
}

#[test]
fn the_schema_accepts_the_declaration() {
    let value: Value = serde_yaml::from_str(include_str!("../reserved.yaml")).expect("YAML");
    assert_eq!(
        Schema::of_the_declaration().refuses(&value),
        Vec::<String>::new()
    );
}

/// What only a parser of types says: mistakes in the shape, which a schema can see.
const SHAPE: [&str; 7] = [
    ": unknown field",
    ": unknown variant",
    ": missing field",
    ": invalid type",
    ": invalid value",
    ": not a mapping",
    "is not a list",
];

#[test]
fn the_schema_refuses_every_mistake_in_the_shape() {
    let schema = Schema::of_the_declaration();
    let mut refused = 0;
    insta::glob!("invalid/*.yaml", |path| {
        let text = fs::read_to_string(path).expect("readable");
        let report = load("file", &text).expect_err("a mistake").to_string();
        // A key that is given twice, or a quote that does not end, is no YAML; editors say so without a schema.
        let Ok(value) = serde_yaml::from_str::<Value>(&text) else {
            return;
        };
        let found = schema.refuses(&value);
        let misshapen = SHAPE.iter().any(|phrase| report.contains(phrase));
        assert_eq!(
            !found.is_empty(),
            misshapen,
            "{}: {found:?}\n{report}",
            path.display()
        );
        refused += usize::from(misshapen);
    });
    assert!(
        refused >= 7,
        "{refused} fixtures with mistakes in the shape"
    );
}

#[test]
fn every_object_is_closed_and_every_member_explained() {
    let Schema(schema) = Schema::of_the_declaration();
    let objects = schema["definitions"].as_object().expect("definitions");
    for (name, object) in objects.iter().chain([(&"Declaration".to_owned(), &schema)]) {
        let Some(members) = object.get("properties").and_then(Value::as_object) else {
            continue;
        };
        assert_eq!(object["additionalProperties"], false, "{name}");
        for (member, schema) in members {
            let told = schema
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default();
            assert!(!told.is_empty(), "{name}.{member}");
        }
    }
}

#[test]
fn the_declaration_names_its_schema() {
    let first = include_str!("../reserved.yaml")
        .lines()
        .next()
        .expect("a first line");
    let named = first
        .strip_prefix("# yaml-language-server: $schema=")
        .expect("names a schema");
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR")).join(named).is_file(),
        "{named}"
    );
}

#[test]
fn there_are_twenty_kinds_of_mistakes() {
    let fixtures = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid"))
        .expect("fixtures");
    assert!(fixtures.count() >= 20);
}
