//! The table of published results is what runs give, and says so where they differ.

use std::fs;

use ferroce_book::papers::{results, table};

#[test]
fn papers_table_is_what_the_runs_give() {
    let (claims, plots) = results();
    let table = table(&claims);
    let committed = |name: &str| {
        fs::read_to_string(ferroce_book::folder().join("src/figures").join(name)).unwrap_or_default()
    };
    assert!(committed("papers.md") == table, "out of date: cargo run -p ferroce-book --bin papers\n{table}");
    // What differs is explained on the page; nothing else may.
    let page = fs::read_to_string(ferroce_book::folder().join("src/published-results.md")).unwrap();
    for plot in plots {
        let file = format!("{}.svg", plot.name);
        assert!(
            committed(&file) == plot.svg(),
            "{file} is out of date: cargo run -p ferroce-book --bin papers"
        );
        assert!(page.contains(&file), "{file} stands on no page");
    }
    for claim in claims.iter().filter(|claim| !claim.holds) {
        assert!(
            page.contains(&format!("**{}**", claim.what)),
            "{claim:?} differs, and the page does not say why"
        );
    }
}
