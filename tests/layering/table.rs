//! The table of rooms in `ARCHITECTURE.md`.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// The rooms and what each may use.
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    layer: u32,
    room: String,
    layers: RangeInclusive<u32>,
    neighbours: Vec<String>,
    may_hold_unsafe: bool,
}

impl Table {
    pub fn of_this_project() -> Self {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
        let table = Self::parse(&page);
        assert!(table.rows.len() > 10, "the table of rooms was not found in ARCHITECTURE.md");
        table
    }

    /// Rows of the form `` | 2 | `kernels` | … | 0-1, exec | yes | ``.
    fn parse(page: &str) -> Self {
        let rows = page.lines().filter_map(|line| {
            let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let [layer, room, _, uses, holds_unsafe] = cells[..] else { return None };
            let layer = layer.parse().ok()?;
            let mut uses = uses.split(',').map(str::trim);
            let span = uses.next().expect("a room's fourth column names layers");
            let (low, high) = span.split_once('-').unwrap_or((span, span));
            Some(Row {
                layer,
                room: room.trim_matches('`').to_owned(),
                layers: low.parse().unwrap()..=high.parse().unwrap(),
                neighbours: uses.map(str::to_owned).collect(),
                may_hold_unsafe: match holds_unsafe {
                    "yes" => true,
                    "no" => false,
                    other => panic!("the last column is yes or no, not {other:?}"),
                },
            })
        });
        Self { rows: rows.collect() }
    }

    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|r| r.room.as_str())
    }

    pub fn may_hold_unsafe(&self, room: &str) -> bool {
        self.row(room).is_some_and(|r| r.may_hold_unsafe)
    }

    /// Whether `room` may name `target`; a target that is no room is never allowed.
    pub fn allows(&self, room: &str, target: &str) -> bool {
        let (Some(from), Some(to)) = (self.row(room), self.row(target)) else { return false };
        room == target || from.layers.contains(&to.layer) || from.neighbours.iter().any(|n| n == target)
    }

    fn row(&self, room: &str) -> Option<&Row> {
        self.rows.iter().find(|r| r.room == room)
    }
}

#[test]
fn a_row_allows_its_layers_its_neighbours_and_itself() {
    let table = Table::parse(
        "| layer | room | holds | may use | unsafe |\n| 0 | `a` | . | 0 | no |\n| 1 | `b` | . | 0 | yes |\n\
         | 1 | `c` | . | 0, b | no |\n| 2 | `d` | . | 0-1 | no |",
    );
    assert!(table.allows("c", "a") && table.allows("c", "b") && table.allows("c", "c") && table.allows("d", "b"));
    assert!(!table.allows("b", "c") && !table.allows("a", "b") && !table.allows("c", "d") && !table.allows("c", "x"));
    assert!(table.may_hold_unsafe("b") && !table.may_hold_unsafe("c"));
}
