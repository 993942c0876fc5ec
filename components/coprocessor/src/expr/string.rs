//! LENGTH and STRCMP, variables, and the padding of CHAR.

use super::{Call, Session, Strings, Values};
use crate::column::{Cells, Texts};
use crate::error::Result;

impl<'a> Call<'a, '_> {
    pub(super) fn length(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        let strings = self.strings(0, self.rows, session)?;
        let mut out = Cells::nulls(self.len());
        for &row in self.rows {
            let length = |text: &[u8]| i64::try_from(text.len()).unwrap_or(i64::MAX);
            out.set(row, strings.get(row).map(length));
        }
        Ok(Values::Own(out))
    }

    pub(super) fn strcmp(&self, session: &mut Session) -> Result<Values<'a, i64>> {
        self.compare_strings(|order| order as i64, session)
    }

    /// The variable itself lives in the client's session; here it is only what is assigned to it.
    pub(super) fn set_variable(&self, session: &mut Session) -> Result<Strings<'a>> {
        let name = self.strings(0, self.rows, session)?;
        let present = name.present(self.rows);
        let value = self.strings(1, &present, session)?;
        let mut out = Texts::default();
        for &row in self.rows {
            out.push_at(row, name.get(row).and_then(|_| value.get(row)));
        }
        Ok(Strings::Own(out))
    }
}

/// Strings with spaces behind them up to `width` characters. A byte that belongs to no character counts
/// as one.
pub(super) fn padded(strings: &Strings<'_>, width: i32, rows: &[usize]) -> Strings<'static> {
    let width = usize::try_from(width).unwrap_or_default();
    let mut out = Texts::default();
    let mut room = Vec::new();
    for &row in rows {
        let Some(text) = strings.get(row) else {
            out.push_at(row, None);
            continue;
        };
        let missing = width.saturating_sub(characters(text));
        room.clear();
        room.extend_from_slice(text);
        room.resize(text.len() + missing, b' ');
        out.push_at(row, Some(&room));
    }
    Strings::Own(out)
}

fn characters(text: &[u8]) -> usize {
    text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}
