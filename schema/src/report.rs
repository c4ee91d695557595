//! What is wrong with a declaration: all of it, with lines.

use std::fmt;

use crate::positions::Positions;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

/// Every mistake of one file.
#[derive(Debug)]
pub struct Report {
    file: String,
    positions: Positions,
    problems: Vec<Problem>,
}

impl Report {
    /// An empty report on the file called `file` that holds `text`.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let positions = Positions::of(text);
        let mut report = Self {
            file: file.to_owned(),
            problems: Vec::new(),
            positions,
        };
        for path in report.positions.duplicates().to_vec() {
            report.add(
                &path,
                format!("`{path}` is given twice"),
                "keep one of them",
            );
        }
        report
    }

    /// Adds a mistake at the value with that path.
    pub(crate) fn add(&mut self, path: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.add_line(self.positions.line(path), what, mend);
    }

    /// Adds a mistake at a line.
    pub(crate) fn add_line(
        &mut self,
        line: usize,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.problems.push(Problem {
            line,
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// The line of the value with that path.
    pub(crate) fn line(&self, path: &str) -> usize {
        self.positions.line(path)
    }

    /// The report in the order of the lines, without repetitions.
    pub(crate) fn sorted(mut self) -> Self {
        self.problems.sort();
        self.problems.dedup();
        self
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The mistakes.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            let separator = if place == 0 { "" } else { "\n" };
            let Problem { line, what, mend } = problem;
            write!(
                formatter,
                "{separator}{}:{line}: {what}\n  hint: {mend}",
                self.file
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
