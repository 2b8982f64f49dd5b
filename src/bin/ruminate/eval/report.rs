//! Results as one page that needs no network: curves, table, and every answer.

use serde_json::Value;

use super::chart::{Cost, all_series, chart};
use super::record::Record;
use super::summary::Summary;
use super::table::{by_samples, percent};
use crate::dataset::Question;
use crate::page::{head, html, push};
use crate::size;
use crate::svg::colour;

const SCRIPT: &str = include_str!("report_filter.js");

/// The page. `about` tells what was measured; everything from outside is escaped.
pub fn page(about: &Value, summaries: &[Summary], questions: &[Question], records: &[Record]) -> String {
    let mut page = head("ruminate eval");
    let fact = |pointer: &str| about.pointer(pointer).map_or_else(String::new, plain);
    let model = if fact("/model/name").is_empty() { fact("/model/file") } else { fact("/model/name") };
    push(&mut page, format_args!("<h1>{}</h1>", html(&model)));
    let facts = [
        ("/data/file", "questions"),
        ("/data/format", "format"),
        ("/strategy", "prompt"),
        ("/model/fingerprint", "model"),
    ];
    let facts = facts.map(|(pointer, name)| format!("{name} {}", html(&fact(pointer))));
    push(&mut page, format_args!("<p>{}</p>", facts.join(" · ")));
    if about.get("finished") != Some(&Value::Bool(true)) {
        push(&mut page, format_args!("<p><strong>The run was stopped before its end.</strong></p>"));
    }
    let costs = [
        Cost { label: "tokens drawn per question", of: |s| s.mean_policy_tokens },
        Cost { label: "seconds per question", of: |s| s.mean_wall_ms / 1e3 },
    ];
    push(&mut page, format_args!("<p class=\"legend\">{}</p><div class=\"charts\">", legend(summaries)));
    costs.iter().for_each(|cost| push(&mut page, format_args!("<figure>{}</figure>", chart(summaries, cost))));
    page += "</div>\n";
    table(&mut page, summaries);
    answers(&mut page, summaries, questions, records);
    push(&mut page, format_args!("<script>{SCRIPT}</script>\n</body>\n</html>"));
    page
}

fn legend(summaries: &[Summary]) -> String {
    let entry = |(i, name): (usize, &String)| format!("<span style=\"color:{}\">●</span> {}", colour(i), html(name));
    all_series(summaries).iter().enumerate().map(entry).collect::<Vec<_>>().join(" &nbsp; ")
}

fn table(page: &mut String, summaries: &[Summary]) {
    let names = [
        "setting",
        "n",
        "right",
        "accuracy",
        "95 % interval",
        "to the first",
        "p",
        "oracle",
        "tokens",
        "reward tokens",
        "prompt tokens",
        "seconds",
        "passes",
        "KV peak",
        "joules",
    ];
    let head: String = names.iter().map(|name| format!("<th>{name}</th>")).collect();
    push(page, format_args!("<h2>Settings</h2><div class=\"wide\"><table><thead><tr>{head}</tr></thead><tbody>"));
    for s in summaries {
        let versus = s.versus_first.as_ref();
        let joules = s.mean_joules.zip(s.joules_source.as_deref());
        let cells = [
            html(&s.config),
            s.n.to_string(),
            s.correct.to_string(),
            percent(s.accuracy),
            format!("{} to {}", percent(s.ci95.0), percent(s.ci95.1)),
            versus.map_or_else(String::new, |v| format!("{:+.1} points of {} pairs", 100.0 * v.difference, v.pairs)),
            versus.map_or_else(String::new, |v| format!("{:.4}", v.p)),
            percent(s.oracle),
            format!("{:.1}", s.mean_policy_tokens),
            format!("{:.1}", s.mean_reward_tokens),
            format!("{:.1}", s.mean_prompt_tokens),
            format!("{:.3}", s.mean_wall_ms / 1e3),
            format!("{:.1}", s.mean_forward_passes),
            size::show(s.kv_peak_bytes),
            joules.map_or_else(String::new, |(joules, source)| format!("{joules:.2} {}", html(source))),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        push(page, format_args!("<tr>{cells}</tr>"));
    }
    page.push_str("</tbody></table></div>\n");
    for s in summaries {
        for (name, shares) in by_samples(s) {
            let cells: Vec<String> = shares.iter().map(|(k, share)| format!("{k}: {}", percent(*share))).collect();
            push(
                page,
                format_args!("<p>{}, {name} among the first k samples: {}</p>", html(&s.config), cells.join(", ")),
            );
        }
    }
}

fn answers(page: &mut String, summaries: &[Summary], questions: &[Question], records: &[Record]) {
    let option = |s: &Summary| format!("<option>{}</option>", html(&s.config));
    let options: String = summaries.iter().map(option).collect();
    push(
        page,
        format_args!(
            "<h2>Answers</h2><p class=\"filter\"><select id=\"config\"><option value=\"\">all settings</option>{options}</select> \
             <select id=\"result\"><option value=\"\">right and wrong</option><option>right</option><option>wrong</option></select> \
             <input id=\"words\" type=\"search\" placeholder=\"words\"> <span id=\"count\"></span></p>\
             <table id=\"answers\"><thead><tr><th>row</th><th>setting</th><th>result</th><th>answer</th><th>should be</th>\
             <th>tokens</th><th>seconds</th><th>text</th></tr></thead><tbody>"
        ),
    );
    let mut sorted: Vec<&Record> = records.iter().collect();
    let place = |config: &str| summaries.iter().position(|s| s.config == config);
    sorted.sort_by_key(|record| (record.key.row, record.key.repeat, place(&record.key.config)));
    for record in sorted {
        let question = questions.get(record.key.row);
        let result = if record.correct { "right" } else { "wrong" };
        let answer = record.answer.as_deref().or(record.error.as_deref()).unwrap_or("none");
        let repeat = if record.key.repeat > 0 { format!(" run {}", record.key.repeat + 1) } else { String::new() };
        push(
            page,
            format_args!(
                "<tr data-config=\"{config}\" data-result=\"{result}\"><td>{row}{repeat}</td><td>{config}</td>\
                 <td class=\"{result}\">{result}</td><td>{answer}</td><td>{gold}</td><td>{tokens}</td><td>{seconds:.3}</td>\
                 <td><details><summary>{reason}</summary><p>{question}</p><pre>{text}</pre></details></td></tr>",
                config = html(&record.key.config),
                row = record.key.row,
                answer = html(answer),
                gold = question.map_or_else(String::new, |question| html(&question.gold.to_string())),
                tokens = record.cost.policy_tokens,
                seconds = record.cost.wall_ms / 1e3,
                reason = html(&record.stop_reason),
                question = question.map_or_else(String::new, |question| html(&question.text)),
                text = html(&record.text),
            ),
        );
    }
    page.push_str("</tbody></table>\n");
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use crate::eval::record::{Cost as Spent, Key};
    use crate::eval::summarise;
    use crate::search_args::Setting;
    use ruminate::search::Algo;

    const EVIL: &str = "</script><img src=x onerror=alert(1)>\"'&\u{202e}\u{1b}";

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let row = serde_json::json!({ "question": EVIL, "answer": format!("#### {}", "<b>") }).to_string();
        let questions = Dataset::parse(&row, None).unwrap().questions;
        let settings =
            [1, 2].map(|n| Setting { algo: Algo::BestOfN, method: None, n, budget_tokens: Some(9), budget_ms: None });
        let records = settings.map(|setting| Record {
            answer: Some(EVIL.to_owned()),
            text: EVIL.to_owned(),
            stop_reason: EVIL.to_owned(),
            cost: Spent {
                policy_tokens: 5,
                wall_ms: 7.0,
                joules_source: Some(EVIL.to_owned()),
                joules: Some(1.0),
                ..Spent::default()
            },
            ..Record::failed(Key { row: 0, repeat: 1, config: setting.name() }, EVIL.to_owned())
        });
        let about = serde_json::json!({
            "data": { "file": EVIL, "format": EVIL }, "strategy": EVIL, "model": { "name": EVIL, "fingerprint": EVIL }, "finished": false,
        });
        let page = page(&about, &summarise(&settings, true, &records), &questions, &records);
        for piece in ["<img", "<b>", "\u{202e}", "\u{1b}", "onerror=alert(1)>\""] {
            assert!(!page.contains(piece), "{piece}");
        }
        assert_eq!(page.matches("</script>").count(), 1);
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;\\u{202e}\\u{1b}"));
        assert!(page.contains("stopped before its end") && page.matches("<svg").count() == 2);
        // Two settings, each with a point and an interval in both drawings.
        assert_eq!((page.matches("<circle").count(), page.matches("data-result=\"wrong\"").count()), (4, 2));
        assert!(!page.contains("NaN") && !page.contains("http:") && !page.contains("https:"));
    }

    #[test]
    fn a_page_without_results_is_a_page() {
        let page = page(&Value::Null, &summarise(&[], true, &[]), &[], &[]);
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains("No setting has a result yet."));
    }
}
