// Shows the claims that match every filter; without scripts, all are shown and the form is not.
const form = document.getElementById("filter");
const articles = [...document.querySelectorAll("article")];

function chosen(name) {
  return new Set([...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value));
}

function apply() {
  const verdicts = chosen("verdict");
  const themes = chosen("theme");
  const text = form.elements.text.value.trim().toLowerCase();
  let shown = 0;
  for (const article of articles) {
    const { verdict, theme } = article.dataset;
    const match = verdicts.has(verdict) && themes.has(theme) && article.textContent.toLowerCase().includes(text);
    article.hidden = !match;
    shown += match;
  }
  form.querySelector("output").textContent = `${shown} of ${articles.length} claims shown`;
}

// A link to a claim that is filtered away shows it.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.hidden) {
    form.reset();
    apply();
    target.scrollIntoView();
  }
}

form.hidden = false;
form.addEventListener("input", apply);
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", reveal);
apply();
