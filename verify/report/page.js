// Shows the claims that match every filter; without scripts, all are shown and the form is not.
const form = document.getElementById("filter");
const articles = [...document.querySelectorAll("article")];
const themes = [...document.querySelectorAll("section.theme")];
const texts = new Map();

function chosen(name) {
  return new Set([...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value));
}

function says(article, text) {
  if (!texts.has(article)) texts.set(article, article.textContent.toLowerCase());
  return texts.get(article).includes(text);
}

function apply() {
  const verdicts = chosen("verdict");
  const kinds = chosen("evidence");
  const theme = form.elements.theme.value;
  const source = form.elements.source.value;
  const text = form.elements.text.value.trim().toLowerCase();
  let shown = 0;
  for (const article of articles) {
    const of = article.dataset;
    const match =
      verdicts.has(of.verdict) &&
      kinds.has(of.evidence) &&
      (!theme || of.theme === theme) &&
      (!source || of.source.split(" ").includes(source)) &&
      (!text || says(article, text));
    article.hidden = !match;
    shown += match;
  }
  for (const section of themes) section.hidden = !section.querySelector("article:not([hidden])");
  document.body.classList.toggle("brief", form.elements.brief.checked);
  form.querySelector("output").textContent = `${shown} of ${articles.length} claims shown`;
}

// A link to a claim that is filtered away shows it.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.closest("[hidden]")) {
    form.reset();
    setTimeout(() => target.scrollIntoView());
  }
}

form.hidden = false;
form.addEventListener("input", apply);
form.addEventListener("reset", () => setTimeout(apply));
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", reveal);
apply();
