//! Sentences of several languages, lengths and kinds.

/// What the known answers cover.
#[must_use]
pub fn all() -> Vec<String> {
    let mut texts: Vec<_> = SHORT.iter().map(|text| (*text).to_owned()).collect();
    let paragraph = SHORT.join(" ");
    texts.push(paragraph.clone());
    texts.push("The tide comes in. The tide goes out. ".repeat(400));
    texts.push(format!(
        "{}{}",
        " ".repeat(5_000),
        "a word after much space"
    ));
    texts.push("x".repeat(3_000));
    texts.push("😀".repeat(700));
    texts
}

/// Each of at most some 60 tokens.
pub const SHORT: &[&str] = &[
    "",
    " ",
    "Cats sleep for most of the day.",
    "A kitten naps on the warm windowsill all afternoon.",
    "The central bank raised its interest rate by half a point.",
    "Borrowing became more expensive after the monetary committee met.",
    "How do I reset the password of my account?",
    "I forgot my login and cannot get in any more.",
    "The train to Lyon leaves from platform four at noon.",
    "Water boils at a lower temperature on a high mountain.",
    "She planted tomatoes, beans and a row of sunflowers behind the house.",
    "Der Zug nach Leipzig hat heute wieder zwanzig Minuten Verspätung.",
    "Die Größe der Übertragung überschreitet das zulässige Maß.",
    "Le boulanger ouvre sa boutique avant le lever du soleil.",
    "L'été dernier, nous avons traversé les Pyrénées à pied.",
    "El río crecido se llevó el puente viejo durante la noche.",
    "¿Dónde está la biblioteca más cercana?",
    "Il gatto dorme sul divano mentre fuori piove.",
    "O mercado abre às sete e fecha ao meio-dia.",
    "De fiets staat tegen de muur van de kerk.",
    "Båten gungade stilla i hamnen hela natten.",
    "Lunta satoi koko viikon, ja tiet olivat ummessa.",
    "Stary zegar na wieży wybił północ.",
    "Řeka zamrzla poprvé po dvanácti letech.",
    "A kutya egész nap a kapuban várta a gazdáját.",
    "Kar yüzünden okullar iki gün tatil edildi.",
    "Сегодня утром туман закрыл всю долину.",
    "Вчені виміряли швидкість світла точніше, ніж будь-коли.",
    "Το πλοίο φεύγει για τα νησιά στις έξι το πρωί.",
    "מחר יירד גשם חזק בצפון הארץ.",
    "وصل القطار إلى المحطة قبل موعده بخمس دقائق.",
    "किसान ने बारिश से पहले फसल काट ली।",
    "วันนี้อากาศร้อนมากจนไม่มีใครออกจากบ้าน",
    "Hôm nay chợ hoa đông nghịt người từ sáng sớm.",
    "今天下午图书馆闭馆整修。",
    "昨日、弟は海で大きな魚を釣った。",
    "아침마다 할머니는 마당을 쓸고 꽃에 물을 준다.",
    "Jana huandika barua kwa rafiki yake kila wiki.",
    "ALL CAPITALS MUST MEAN THE SAME AS SMALL LETTERS.",
    "all capitals must mean the same as small letters.",
    "naïve café résumé façade coöperate Ångström",
    "naive cafe resume facade cooperate angstrom",
    "e = mc², ∑ 1/n² = π²/6, and √2 is irrational.",
    "fn main() { let x: Vec<u8> = vec![0; 1 << 20]; }",
    "SELECT name FROM workers WHERE last_seen < now() - interval '5 minutes';",
    "{\"key\": [1, 2.5, null], \"nested\": {\"true\": false}}",
    "https://example.org/a/b?c=d&e=%20f#g",
    "someone.else+tag@mail.example",
    "2026-02-29 is no date, 1/3 is no decimal, 1e400 is no binary64.",
    "3.14159265358979323846264338327950288419716939937510582097494459",
    "👩‍🚀 🚀 → 🌕 in 3 days",
    "tab\tnewline\nreturn\rnull\u{0}bell\u{7}end",
    "zero\u{200b}width\u{200d}joiners\u{feff}and a soft\u{ad}hyphen",
    "[CLS] [SEP] [MASK] [PAD] [UNK] are written out here.",
    "##ing ##ed wordpieces that nobody writes",
    "antidisestablishmentarianism and floccinaucinihilipilification",
    "!!! ??? ... --- *** ((( ))) ;;; :::",
    "No. Never. Not once, not ever, not for anyone.",
    "Yes.",
    "The parliament voted late at night, after eleven hours of debate in which nobody had changed a single mind, to postpone \
     the decision until the spring, when, as everybody knew, another parliament would sit in these same chairs.",
    "If the pump fails, close the inlet valve first; then open the bypass, wait until the gauge reads below two bar, and \
     only then remove the cover, because the spring under it is still tensioned.",
];
