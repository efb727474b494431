//! A table of text: columns as wide as they have to be, and some only where they have something to say.

/// Characters of a digest that tell two of them apart.
const DIGITS: usize = 12;

/// A table.
pub(in crate::cli) struct Table {
    header: Vec<String>,
    optional: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns, of which those in `optional` are left out where they are empty.
    pub(in crate::cli) fn new(header: &[&str], optional: &'static [&'static str]) -> Self {
        Self { header: header.iter().map(ToString::to_string).collect(), optional, rows: Vec::new() }
    }

    /// Adds a row, with as many cells as the header has.
    pub(in crate::cli) fn add(&mut self, cells: Vec<String>) {
        // A table has one line a row, whatever an error message is made of.
        let one_line = |cell: String| cell.split_whitespace().collect::<Vec<_>>().join(" ");
        self.rows.push(cells.into_iter().map(one_line).collect());
    }

    /// All of it, with a line break at the end of each line; nothing where there are no rows.
    pub(in crate::cli) fn render(mut self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let filled = |column: usize| self.rows.iter().any(|row| !row[column].is_empty());
        let optional = |column: usize| self.optional.contains(&self.header[column].as_str());
        let columns: Vec<usize> =
            (0..self.header.len()).filter(|column| !optional(*column) || filled(*column)).collect();
        for cell in self.rows.iter_mut().flatten().filter(|cell| cell.is_empty()) {
            cell.push('-');
        }
        self.rows.insert(0, self.header);
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = columns.iter().map(|column| width(*column)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = columns.iter().zip(&widths).map(|(column, width)| format!("{:width$}", row[*column]));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// As much of a digest as a person compares.
pub(in crate::cli) fn short(digest: &str) -> String {
    let end = digest.find(':').map_or(0, |colon| colon + 1) + DIGITS;
    digest.chars().take(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 4]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn columns_fit_and_empty_ones_are_left_out() {
        let new = || Table::new(&["MODEL", "VERSION", "STAGE", "STATE"], &["STAGE"]);
        let mut table = new();
        table.add(row(["a_long_name", "1", "", ""]));
        table.add(row(["m", "12", "", "error: two\n  lines"]));
        let expected = "MODEL        VERSION  STATE\n\
                        a_long_name  1        -\n\
                        m            12       error: two lines\n";
        assert_eq!(table.render(), expected);
        let mut staged = new();
        staged.add(row(["m", "1", "Production", ""]));
        assert_eq!(staged.render(), "MODEL  VERSION  STAGE       STATE\nm      1        Production  -\n");
        assert_eq!(new().render(), "");
    }

    #[test]
    fn digests_are_cut_and_odd_ones_survive() {
        assert_eq!(short("sha256:0123456789abcdef"), "sha256:0123456789ab");
        assert_eq!((short(""), short("sha256:"), short("ü")), (String::new(), "sha256:".into(), "ü".into()));
    }
}
