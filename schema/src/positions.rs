//! Where each value of a YAML file stands: the parser that fills the types keeps no positions.
//!
//! A path is written as `regions[3].encoding.text.max`; its line is that of the key, or of the item's first line.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, Span};

/// Lines by path, counted from 1.
#[derive(Debug, Default)]
pub struct Positions {
    lines: HashMap<String, usize>,
    duplicates: Vec<String>,
}

/// A collection that is open while the events are read.
enum Open {
    /// Path of the mapping, and of the key whose value comes next.
    Mapping { path: String, key: Option<String> },
    /// Path of the sequence, and the number of items so far.
    Sequence { path: String, items: usize },
}

impl Positions {
    /// Reads the positions in `text`, as far as it can be parsed.
    pub fn of(text: &str) -> Self {
        let mut positions = Self::default();
        let mut open: Vec<Open> = Vec::new();
        for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
            match event {
                Event::Scalar(scalar, ..) => positions.scalar(&mut open, &scalar, span),
                Event::MappingStart(..) => {
                    let path = positions.value(&mut open, span);
                    open.push(Open::Mapping { path, key: None });
                }
                Event::SequenceStart(..) => {
                    let path = positions.value(&mut open, span);
                    open.push(Open::Sequence { path, items: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    open.pop();
                }
                _ => {}
            }
        }
        positions
    }

    /// The line of `path`, or of the nearest value around it.
    pub fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(cut) => path = &path[..cut],
                None => return 1,
            }
        }
    }

    /// Paths of keys that occur twice in one mapping.
    pub fn duplicates(&self) -> &[String] {
        &self.duplicates
    }

    fn scalar(&mut self, open: &mut [Open], scalar: &str, span: Span) {
        if let Some(Open::Mapping {
            path,
            key: key @ None,
        }) = open.last_mut()
        {
            let inner = if path.is_empty() {
                scalar.to_owned()
            } else {
                format!("{path}.{scalar}")
            };
            if self
                .lines
                .insert(inner.clone(), span.start.line())
                .is_some()
            {
                self.duplicates.push(inner.clone());
            }
            *key = Some(inner);
        } else {
            self.value(open, span);
        }
    }

    /// The path of the value that starts here.
    fn value(&mut self, open: &mut [Open], span: Span) -> String {
        match open.last_mut() {
            Some(Open::Mapping { key, .. }) => key.take().unwrap_or_default(),
            Some(Open::Sequence { path, items }) => {
                let inner = format!("{path}[{items}]");
                *items += 1;
                self.lines.insert(inner.clone(), span.start.line());
                inner
            }
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Positions;

    #[test]
    fn every_value_has_its_line() {
        let text = "a: 1\nb:\n  - c: {d: 2}\n    e: |\n      x\n      y\n  - f\ng: [h, i]\na: 2\n";
        let positions = Positions::of(text);
        for (path, line) in [
            ("b", 2),
            ("b[0]", 3),
            ("b[0].c.d", 3),
            ("b[0].e", 4),
            ("b[1]", 7),
            ("g[1]", 8),
        ] {
            assert_eq!(positions.line(path), line, "{path}");
        }
        assert_eq!(positions.line("b[0].c.none[3].at.all"), 3);
        assert_eq!(positions.duplicates(), ["a"]);
    }
}
