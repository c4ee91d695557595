//! The book's reference chapters, from the tables that the program has.

mod commands;
mod effects;
mod filter;
mod permissions;
mod regions;
mod remote;
mod variables;

pub use commands::commands;
pub use filter::filter;
pub use permissions::permissions;
pub use regions::regions;
pub use remote::remote;
pub use variables::variables;

/// A page: what writes it, its title, its introduction, its body.
fn page(title: &str, introduction: &str, body: &str) -> String {
    let written = "Written by `cargo run -p flatimage-codegen -- write` from `schema/reserved.yaml`; change that.";
    let (introduction, body) = (introduction.trim(), body.trim_end());
    format!("<!-- {written} -->\n\n# {title}\n\n{introduction}\n\n{body}\n")
}

/// A table; the cells are Markdown.
fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rows: String = rows
        .into_iter()
        .map(|cells| line(&cells.map(|cell| cell.replace('|', "\\|"))))
        .collect();
    let heads = line(&heads.map(str::to_owned));
    format!("{heads}|{}\n{rows}\n", "---|".repeat(N))
}

/// Text as code.
fn code(text: &str) -> String {
    format!("`{text}`")
}
