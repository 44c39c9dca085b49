"use strict";
// Draws the figures in the ink of the reader's theme, and once more as a picture in dark ink for paper.
const figures = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const PAPER = { width: 700 };

function inked(layout, isDark) {
  const ink = isDark ? "#e4e7ea" : "#1d2329", line = isDark ? "#363d45" : "#d9dde1";
  const font = Object.assign({ family: "system-ui, sans-serif", size: 12, color: ink }, layout.font);
  const found = Object.assign({}, layout, { font });
  for (const name of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))]))
    found[name] = Object.assign({ gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true }, layout[name]);
  found.hoverlabel = Object.assign({ bgcolor: isDark ? "#20252b" : "#ffffff", font: { color: ink } }, layout.hoverlabel);
  return found;
}

function copy(figure) { return JSON.parse(JSON.stringify(figure)); }

async function picture(key, format) {
  const figure = copy(figures[key]);
  const size = { format, width: PAPER.width, height: figure.layout.height || 400, scale: format === "png" ? 3 : 1 };
  const layout = inked(figure.layout, false);
  if (format === "png") layout.paper_bgcolor = "#ffffff";
  return Plotly.toImage({ data: figure.data, layout }, size);
}

async function save(key, format) {
  const link = document.createElement("a");
  link.href = await picture(key, format);
  link.download = `perfmodel-${key}.${format}`;
  link.click();
}

async function draw(plot) {
  const key = plot.dataset.figure, figure = copy(figures[key]);
  await Plotly.react(plot, figure.data, inked(figure.layout, dark.matches), { responsive: true, displayModeBar: false });
}

function buttons(plot) {
  const box = document.createElement("span");
  box.className = "save";
  for (const format of ["png", "svg"]) {
    const button = document.createElement("button");
    button.textContent = format.toUpperCase();
    button.title = `Save this figure as ${format.toUpperCase()}`;
    button.addEventListener("click", () => save(plot.dataset.figure, format));
    box.append(button);
  }
  plot.closest("section").prepend(box);
}

async function start() {
  const plots = [...document.querySelectorAll(".plot")];
  for (const plot of plots) { buttons(plot); await draw(plot); }
  for (const plot of plots) plot.nextElementSibling.src = await picture(plot.dataset.figure, "svg");
  document.documentElement.dataset.drawn = plots.length;
}

dark.addEventListener("change", () => document.querySelectorAll(".plot").forEach(draw));
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
start();
