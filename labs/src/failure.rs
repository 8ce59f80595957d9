//! What a failed check says.

use std::fmt;

use crate::film::Film;

/// Lines that a failure never exceeds, so that it fits a terminal of 24 with a prompt, or a word about waiting, behind it.
pub const MAX_LINES: usize = 22;

/// Columns that a failure keeps to, commands to be copied excepted.
pub const MAX_COLUMNS: usize = 80;

/// Columns before the text of a row.
const LABEL: usize = 8;

/// What must hold of an answer.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Short name, as in `bth.psn`.
    pub(crate) name: &'static str,
    /// The rule in a sentence or two.
    pub(crate) text: &'static str,
    /// Where it stands.
    pub(crate) source: &'static str,
}

/// Rules as constants: `NAME "short.name" "where it stands": "the rule";`.
macro_rules! rules {
    ($($id:ident $name:literal $source:tt: $text:literal;)*) => {
        $(pub(crate) const $id: $crate::failure::Rule =
            $crate::failure::Rule { name: $name, text: $text, source: $source };)*
    };
}

pub(crate) use rules;

/// A wrong answer.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// The rule that it breaks.
    pub(crate) rule: &'static Rule,
    /// What is expected, seen, and can be said about it.
    pub(crate) rows: Vec<Row>,
    /// The run, if packets were sent in it.
    pub(crate) film: Option<Film>,
    /// It took all the patience there is: the step's other questions are not asked.
    pub(crate) waited: bool,
}

impl Wrong {
    pub(crate) fn new(rule: &'static Rule, rows: Vec<Row>) -> Wrong {
        Wrong { rule, rows, film: None, waited: false }
    }
}

/// A label and the lines beside it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    label: &'static str,
    lines: Vec<String>,
}

impl Row {
    /// Lines that are shown as they are; what is too long for the terminal is cut.
    pub(crate) fn exact(label: &'static str, lines: impl IntoIterator<Item = impl Into<String>>) -> Row {
        let lines = lines.into_iter().map(Into::into).collect();
        Row { label, lines }
    }

    /// Text that is broken between words.
    pub(crate) fn text(label: &'static str, text: &str) -> Row {
        Row { label, lines: wrap(text, MAX_COLUMNS - LABEL) }
    }

    fn clipped(mut self, lines: usize) -> Row {
        if self.lines.len() > lines {
            self.lines.truncate(lines);
            if let Some(last) = self.lines.last_mut() {
                *last = "...".to_owned();
            }
        }
        for line in &mut self.lines {
            if line.chars().count() > MAX_COLUMNS - LABEL {
                *line = line.chars().take(MAX_COLUMNS - LABEL - 3).chain("...".chars()).collect();
            }
        }
        self
    }
}

/// A failed check. Prints as at most [`MAX_LINES`] lines: the rule that was broken, the first thing that is
/// wrong in the words of the protocol, and how to see it again.
#[derive(Debug)]
pub struct Failure {
    head: String,
    rule: Option<&'static Rule>,
    /// What happened; clipped if it is long.
    rows: Vec<Row>,
    /// How to go on; never clipped.
    tail: Vec<(&'static str, String)>,
}

impl Failure {
    pub(crate) fn new(
        head: String,
        rule: Option<&'static Rule>,
        rows: Vec<Row>,
        tail: Vec<(&'static str, String)>,
    ) -> Failure {
        Failure { head, rule, rows, tail }
    }

    /// Name of the rule that was broken, as in `bth.psn`. `None` if there was nothing to judge by a rule: the
    /// file does not compile, or the program panicked or was stopped.
    pub fn rule(&self) -> Option<&'static str> {
        self.rule.map(|rule| rule.name)
    }

    /// Label and text of each line, for those who print them in colours. Only the first line of a row has a
    /// label; the headline has the label `FAIL`.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let rule = self
            .rule
            .map(|rule| Row::text("Rule", &format!("{} ({}, {})", rule.text, rule.name, rule.source)));
        let rule_lines = rule.as_ref().map_or(0, |row| row.lines.len());
        let head = Row::text("FAIL", &self.head);
        let mut room = MAX_LINES - head.lines.len() - self.tail.len() - rule_lines;
        let mut lines = Vec::new();
        let mut add = |row: &Row| {
            let labels = [row.label].into_iter().chain(std::iter::repeat(""));
            lines.extend(labels.zip(row.lines.iter().cloned()));
        };
        add(&head);
        rule.iter().for_each(&mut add);
        for row in &self.rows {
            let row = row.clone().clipped(room);
            room -= row.lines.len();
            add(&row);
        }
        lines.extend(self.tail.iter().cloned());
        lines
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, text) in self.lines() {
            writeln!(f, "{}", format!("{label:<LABEL$}{text}").trim_end())?;
        }
        Ok(())
    }
}

/// So many of something: "1 packet", "2 packets".
pub(crate) fn count(number: impl Into<u64>, what: &str) -> String {
    let number = number.into();
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Breaks text between words into lines of at most `width` columns.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_fits_a_terminal_whatever_is_in_it() {
        let rule = &Rule { name: "a.rule", text: "Rules can be rather long.", source: "9.2" };
        let rows =
            vec![Row::exact("Seen", vec!["x".repeat(500); 90]), Row::text("Why", &"word ".repeat(900))];
        let tail = vec![("Replay", "ferroce lab check --seed 4".to_owned())];
        let text = Failure::new("head ".repeat(20), Some(rule), rows, tail).to_string();
        assert!(text.lines().count() <= MAX_LINES, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= MAX_COLUMNS), "{text}");
        assert!(text.ends_with("Replay  ferroce lab check --seed 4\n"), "{text}");
    }
}
