(() => {
  "use strict";
  const PRINT_WIDTH = 660, PRINT_WIDTH_SMALL = 318, NARROW = 480;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");
  const hovers = matchMedia("(hover: hover)");
  const plots = [...document.querySelectorAll(".plot")];
  const { lang } = document.documentElement;
  const words = JSON.parse(document.getElementById("words").textContent);

  const themes = {
    light: { ink: "#1d2127", grid: "#dfe3e8", raised: "#ffffff", border: "#aab2bd" },
    dark: { ink: "#e6e8eb", grid: "#353b44", raised: "#262b32", border: "#5b6470" },
  };

  // Layout keys of a theme, for the axes that a figure has.
  const themed = (layout, theme) => {
    const keys = {
      "font.color": theme.ink,
      "hoverlabel.bgcolor": theme.raised,
      "hoverlabel.bordercolor": theme.border,
      "hoverlabel.font.color": theme.ink,
    };
    for (const axis of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      for (const part of ["gridcolor", "zerolinecolor", "tickcolor"]) {
        keys[`${axis}.${part}`] = theme.grid;
      }
    }
    return keys;
  };

  const theme = () => (dark.matches ? themes.dark : themes.light);

  const drawn = plots.map(async (plot) => {
    const figure = JSON.parse(plot.nextElementSibling.textContent);
    const narrow = plot.clientWidth < NARROW;
    if (narrow && figure.layout.showlegend) {
      // Beside a small drawing the names would leave it no height.
      figure.layout.height += 17 * figure.data.filter((trace) => trace.showlegend !== false).length;
      plot.style.height = `${figure.layout.height}px`;
    }
    // A finger that moves over a figure scrolls the page.
    figure.layout.dragmode = coarse.matches ? false : "zoom";
    await Plotly.newPlot(plot, figure.data, figure.layout, {
      responsive: true,
      displayModeBar: hovers.matches ? "hover" : false,
      displaylogo: false,
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
      locale: lang,
      locales: { [lang]: { dictionary: words, format: {} } },
    });
    await Plotly.relayout(plot, themed(figure.layout, theme()));
  });
  Promise.all(drawn).then(() => {
    document.documentElement.dataset.figures = "drawn";
  });

  dark.addEventListener("change", () => {
    for (const plot of plots) Plotly.relayout(plot, themed(plot.layout, theme()));
  });
  addEventListener("beforeprint", () => {
    for (const plot of plots) {
      const width = plot.closest(".maps") ? PRINT_WIDTH_SMALL : PRINT_WIDTH;
      Plotly.relayout(plot, { ...themed(plot.layout, themes.light), width });
    }
  });
  addEventListener("afterprint", () => {
    for (const plot of plots) {
      Plotly.relayout(plot, { ...themed(plot.layout, theme()), width: null, autosize: true });
    }
  });

  // Contents: the section that is being read is marked.
  const contents = document.querySelector(".contents");
  const links = new Map();
  for (const heading of document.querySelectorAll("h2[id]")) {
    const link = document.createElement("a");
    link.href = `#${heading.id}`;
    link.textContent = heading.textContent;
    contents.append(link);
    links.set(heading.parentElement, link);
  }
  const inView = new Set();
  const reading = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      if (isIntersecting) inView.add(target);
      else inView.delete(target);
    }
    const current = [...links.keys()].find((section) => inView.has(section));
    for (const [section, link] of links) {
      link.toggleAttribute("aria-current", section === current);
    }
  }, { rootMargin: "0px 0px -60% 0px" });
  for (const section of links.keys()) reading.observe(section);

  // Browsers may give a page from a file no clipboard, but let it copy what is selected.
  const copySelected = (text) => {
    const box = document.createElement("textarea");
    box.value = text;
    box.style.position = "fixed";
    box.style.opacity = "0";
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  };
  for (const button of document.querySelectorAll("[data-copies]")) {
    const label = button.textContent;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copies).textContent;
      let done = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        done = copySelected(text);
      }
      button.textContent = words[done ? "Copied" : "Select it and press Ctrl+C"];
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }
})();
