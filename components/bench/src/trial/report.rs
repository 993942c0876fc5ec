//! What a trial found out: its own table, and figures beside their targets. In Markdown.

use std::fmt;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    /// Nothing that was measured is no number, and reaches no target.
    fn is_reached(self, figure: f64) -> bool {
        match self {
            Target::AtLeast(least) => figure >= least,
            Target::AtMost(most) => figure <= most,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::AtLeast(least) => write!(f, "at least {least}"),
            Target::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

/// What a trial found out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    table: Table,
    figures: Vec<(String, f64, Target)>,
}

impl Report {
    pub(super) fn new(table: Table) -> Self {
        Report { table, figures: Vec::new() }
    }

    /// Adds a figure that has a target.
    pub(super) fn figure(mut self, what: impl Into<String>, figure: f64, target: Target) -> Self {
        self.figures.push((what.into(), figure, target));
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table)?;
        if self.figures.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["", "figure", "target", ""]);
        for (what, figure, target) in &self.figures {
            let verdict = if target.is_reached(*figure) { "reached" } else { "missed" };
            table.row([what.clone(), shown(*figure), target.to_string(), verdict.to_owned()]);
        }
        write!(f, "\n{table}")
    }
}

/// A table of Markdown. Its first column is words, and the others are figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    columns: usize,
    lines: Vec<String>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        let rule = format!("|---{}|", "|---:".repeat(head.len() - 1));
        Table { columns: head.len(), lines: vec![format!("| {} |", head.join(" | ")), rule] }
    }

    /// Nothing but a sentence.
    pub(super) fn sentence(text: String) -> Self {
        Table { columns: 0, lines: vec![text] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns, "a cell for each column");
        self.lines.push(format!("| {} |", cells.join(" | ")));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A figure with as many digits as say something.
pub(super) fn shown(figure: f64) -> String {
    match figure.abs() {
        100.0.. => format!("{figure:.0}"),
        0.1.. => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_at_its_target_has_reached_it_and_no_figure_reaches_none() {
        let cases = [
            (Target::AtLeast(0.4), 0.4, true),
            (Target::AtLeast(0.4), 0.39, false),
            (Target::AtLeast(0.4), f64::NAN, false),
            (Target::AtMost(600.0), 600.0, true),
            (Target::AtMost(600.0), 600.1, false),
            (Target::AtMost(600.0), f64::NAN, false),
        ];
        for (target, figure, is_reached) in cases {
            assert_eq!(target.is_reached(figure), is_reached, "{figure}, {target}");
        }
    }

    #[test]
    fn a_report_has_its_table_and_its_figures() {
        let mut table = Table::new(&["store", "log syncs"]);
        table.row(["1".to_owned(), "12".to_owned()]);
        let report = Report::new(table)
            .figure("syncs of a put", 0.0123, Target::AtMost(0.05))
            .figure("puts of one region", 0.7, Target::AtLeast(0.8))
            .figure("memory, MiB", 312.4, Target::AtMost(600.0));
        let expected = "\
| store | log syncs |
|---|---:|
| 1 | 12 |

|  | figure | target |  |
|---|---:|---:|---:|
| syncs of a put | 0.0123 | at most 0.05 | reached |
| puts of one region | 0.70 | at least 0.8 | missed |
| memory, MiB | 312 | at most 600 | reached |
";
        assert_eq!(report.to_string(), expected);
        let skipped = Report::new(Table::sentence("skipped: no etcd".to_owned()));
        assert_eq!(skipped.to_string(), "skipped: no etcd\n");
    }
}
