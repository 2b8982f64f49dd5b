use super::*;

fn one(text: &str) -> Question {
    Dataset::parse(text, None).unwrap().questions.remove(0)
}

#[test]
fn a_row_of_each_format_is_recognised() {
    let cases = [
        (r#####"{"question": " 2+2? ", "answer": "2+2=<<2+2=4>>4\n#### 4"}"#####, Format::Gsm8k, "2+2?", "4"),
        (
            r#####"{"problem": "Half?", "solution": "So \\boxed{\\frac{1}{2}}.", "level": "1"}"#####,
            Format::Math,
            "Half?",
            "1/2",
        ),
        (r#####"{"problem": "x?", "answer": "2x", "solution": "\\boxed{3x}"}"#####, Format::Math, "x?", "2x"),
        (r#####"{"problem": "n?", "answer": 12}"#####, Format::Math, "n?", "12"),
        (r#####"{"nums": [44, 19, 35], "target": 98}"#####, Format::Countdown, "44, 19, 35", "44 19 35 = 98"),
        (r#####"{"target": 7, "numbers": [3, 4]}"#####, Format::Countdown, "make 7", "3 4 = 7"),
        ("Rank,Puzzles,AMT (s)\n1,1 1 4 6,4.4\n", Format::Game24, "1, 1, 4, 6", "1 1 4 6 = 24"),
    ];
    for (text, format, says, gold) in cases {
        let set = Dataset::parse(&format!("\u{feff}\n{text}\n\n"), None).unwrap();
        assert_eq!((set.format, set.questions.len()), (format, 1), "{text}");
        let question = &set.questions[0];
        assert!(question.text.contains(says), "{}", question.text);
        assert_eq!(question.gold.to_string(), gold);
    }
}

#[test]
fn a_broken_row_is_named_by_its_line() {
    let good = r#####"{"question": "2+2?", "answer": "#### 4"}"#####;
    let cases = [
        ("", "empty"),
        ("\n \n", "empty"),
        ("tea leaves", "none of"),
        ("[1]", "none of"),
        ("null", "none of"),
        (r#####"{"text": 1}"#####, "other fields"),
        (&format!("{good}\n{{"), "line 2: no JSON"),
        (&format!("{good}\n\n{good}\n\u{0}"), "line 4"),
        (&format!("{good}\n{{\"question\": 7, \"answer\": \"#### 4\"}}"), "line 2: question is missing or no text"),
        (&format!("{good}\n{{\"question\": \" \", \"answer\": \"#### 4\"}}"), "line 2: question is empty"),
        (r#####"{"question": "2+2?", "answer": "4"}"#####, "line 1: the answer has no line"),
        (r#####"{"question": "2+2?", "answer": "#### "}"#####, "behind `####`: an empty"),
        (r#####"{"problem": "2+2?", "solution": "so 4"}"#####, "neither"),
        (r#####"{"problem": "2+2?", "answer": null, "solution": "\\boxed{4"}"#####, "neither"),
        (r#####"{"nums": 4, "target": 4}"#####, "no list"),
        (r#####"{"nums": [4.5], "target": 4}"#####, "whole numbers"),
        (r#####"{"nums": [4], "target": "4"}"#####, "target"),
        (r#####"{"nums": [], "target": 4}"#####, "0 numbers"),
        (r#####"{"nums": [1,1,1,1,1,1,1,1,1], "target": 9}"#####, "9 numbers"),
        ("Rank,Puzzles\n1", "line 2: a column is missing"),
        ("Rank,Puzzles\n1,1 1 4", "3 numbers, not 4"),
        ("Rank,Puzzles\n1,a b c d", "whole numbers"),
        ("Rank,Puzzles\n", "no row"),
    ];
    for (text, says) in cases {
        let error = Dataset::parse(text, None).err().unwrap_or_default();
        assert!(error.contains(says), "{text:?}: {error:?}");
    }
    assert!(Dataset::parse(good, Some(Format::Game24)).unwrap_err().contains("Puzzles"));
    assert!(Dataset::parse(good, Some(Format::Math)).unwrap_err().contains("line 1"));
    // As deep as a parser may be asked to go.
    assert!(Dataset::parse(&"[".repeat(1 << 20), None).is_err());
}

#[test]
fn an_answer_is_right_when_it_means_the_same() {
    let half = one(r#####"{"problem": "Half?", "answer": "\\frac{1}{2}"}"#####).gold;
    assert!(half.accepts("0.5") && half.accepts("\\dfrac{2}{4}") && !half.accepts("2") && !half.accepts(""));
    assert!(half.accepts_found(Some("1/2"), "") && !half.accepts_found(None, "#### 1/2"));
    let square = one(r#####"{"problem": "Square?", "solution": "So \\boxed{(x+1)^2}."}"#####).gold;
    assert!(square.accepts("x^2+2x+1") && !square.accepts("x^2+1"));
    let pence = one(r#####"{"question": "Pence?", "answer": "So 70,000.\n#### 70,000"}"#####).gold;
    assert!(pence.accepts("70000") && pence.accepts("$70,000.00") && !pence.accepts("70"));
}

#[test]
fn a_puzzle_is_solved_by_the_sum_in_the_text() {
    let gold = one("Rank,Puzzles\n900,3 3 8 8\n").gold;
    let text = "Try 8 * 3 = 24, but that leaves numbers.\n#### 8/(3-8/3) = 24\n";
    assert!(gold.accepts_found(Some("24"), text), "the search found what stands right of the equals sign");
    assert!(gold.accepts("8 / (3 - 8/3)") && !gold.accepts("24") && !gold.accepts("8*3"));
    assert!(!gold.accepts_found(Some("24"), "8/(3-8/3)\n#### 24"));
    let countdown = one(r#####"{"nums": [3, 4, 5], "target": 17}"#####).gold;
    assert!(countdown.accepts("3*4+5") && !countdown.accepts("12+5") && !countdown.accepts("3+4*5-6"));
}
