//! Results as one page for a browser: a file that needs no other, with a plot of every load over time.

use std::fmt::Write as _;

use crate::number::float;
use crate::record::Slice;
use crate::results::{Load, Results};

/// The size of a plot, and of the frame around it.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 60.0;

/// One for each system, told apart also by those who see few colours.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

const STYLE: &str = "body{font:15px/1.4 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
    pre{background:#f4f4f4;padding:1em;overflow-x:auto;font-size:12px}svg{margin-right:1em}\
    text{font:12px sans-serif}.axis{stroke:#999;fill:none}";

/// The page.
pub(crate) fn page(results: &Results) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>tinykv-bench</title>\
         <style>{STYLE}</style></head><body>\n<h1>tinykv-bench</h1>\n"
    );
    for load in results.loads() {
        let _ = writeln!(html, "<h2>{}</h2>", escaped(&load.title()));
        html.push_str(&plot("per second", &lines(results, load, |slice| float(slice.done))));
        html.push_str(&plot("p99, ms", &lines(results, load, |slice| slice.p99_us / 1e3)));
    }
    let _ =
        write!(html, "<h2>Figures</h2>\n<pre>{}</pre>\n</body></html>\n", escaped(&results.text()));
    html
}

/// A system, and its figure in each second of all rounds, one after the other.
type Line<'a> = (&'a str, Vec<f64>);

fn lines<'a>(results: &'a Results, load: &Load, figure: fn(&Slice) -> f64) -> Vec<Line<'a>> {
    let line = |system| {
        let rounds = results.rounds(load, system);
        (system, rounds.iter().flat_map(|run| &run.measured.slices).map(figure).collect())
    };
    results.under(load).into_iter().map(line).collect()
}

fn plot(title: &str, lines: &[Line<'_>]) -> String {
    let most = lines.iter().flat_map(|(_, line)| line).copied().fold(0.0, f64::max).max(1e-9);
    let seconds = lines.iter().map(|(_, line)| line.len()).max().unwrap_or(0).max(2);
    let (width, height) = (WIDTH + 2.0 * MARGIN, HEIGHT + 2.0 * MARGIN);
    let bottom = MARGIN + HEIGHT;
    let mut svg = format!(
        "<svg width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{title} over time\">\
         <path class=\"axis\" d=\"M{MARGIN},{MARGIN}V{bottom}H{}\"/>\
         <text x=\"{MARGIN}\" y=\"{}\">{title}</text>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{most:.1}</text>\
         <text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">0</text>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{seconds} s</text>",
        MARGIN + WIDTH,
        MARGIN - 12.0,
        MARGIN - 5.0,
        MARGIN + 5.0,
        MARGIN - 5.0,
        MARGIN + WIDTH,
        bottom + 18.0,
    );
    for ((index, (system, line)), colour) in lines.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let step = WIDTH / float(seconds as u64 - 1);
        let at = |(second, figure): (usize, &f64)| {
            let x = MARGIN + step * float(second as u64);
            format!("{x:.1},{:.1}", bottom - HEIGHT * figure / most)
        };
        let points: Vec<String> = line.iter().enumerate().map(at).collect();
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            MARGIN + 110.0 * float(index as u64),
            bottom + 36.0,
            escaped(system),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[test]
    fn a_page_needs_no_other_file_and_has_two_plots_for_each_load() {
        let html = page(&results());
        assert_eq!(html.matches("<svg").count(), 2, "{html}");
        assert_eq!(html.matches("<polyline").count(), 4, "{html}");
        for elsewhere in ["http", "src=", "href=", "<script"] {
            assert!(!html.contains(elsewhere), "{elsewhere} in {html}");
        }
    }

    #[test]
    fn a_plot_reaches_from_nothing_to_the_most() {
        let svg = plot("per second", &[("ours", vec![0.0, 50.0, 100.0])]);
        assert!(svg.contains("points=\"60.0,280.0 380.0,170.0 700.0,60.0\""), "{svg}");
        let nothing = plot("per second", &[("ours", vec![])]);
        assert!(nothing.contains("points=\"\""), "{nothing}");
    }

    #[test]
    fn names_are_only_text() {
        let mut results = results();
        results.runs[0].system = "<b>\"&".to_owned();
        let html = page(&results);
        assert!(html.contains("&lt;b&gt;&quot;&amp;") && !html.contains("<b>"), "{html}");
    }
}
