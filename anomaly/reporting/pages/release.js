// The charts, drawn when they scroll into view, and the filter, order and search of the KPIs.

(() => {
  const FARTHEST = 1e100; // values beyond it would overflow the limits of an axis
  const LEAST_ZOOM = 4; // steps
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const seconds = (text) => Date.parse(text) / 1000;

  let parsed;
  const data = () => { // parsed on first use, so that the page shows first
    if (!parsed) {
      const { report, series } = JSON.parse(document.getElementById("data").textContent);
      parsed = {
        series,
        step: report.windows.step_s,
        calendar: Boolean(report.windows.timezone), // steps are days, weeks or months
        started: seconds(report.release.started_at),
        finished: seconds(report.release.finished_at),
        observed: seconds(report.windows.observation.start),
        end: seconds(report.windows.observation.end),
        marks: [...report.release.stages.slice(1).map((each) => seconds(each.at)), ...report.confounders.map((each) => seconds(each.started_at))],
        leftOut: report.left_out.map((each) => [seconds(each.start), seconds(each.end)]),
      };
    }
    return parsed;
  };

  // --- one series as rows --------------------------------------------------------------------------------------------

  const clamp = (value) => (value === null ? null : Math.max(-FARTHEST, Math.min(FARTHEST, value)));

  const rowsOf = (series) => {
    const rows = series.around.time.map((at, i) => ({ at, observed: series.around.observed[i], judged: false }));
    series.time.forEach((at, i) => rows.push({
      at, observed: series.observed[i], expected: series.expected[i], lower: series.lower[i], upper: series.upper[i], z: series.z[i],
      flagged: Boolean(series.flagged[i]), judged: true,
    }));
    const past = new Map((series.earlier?.time ?? []).map((at, i) => [at, { day: series.earlier.day[i], week: series.earlier.week[i] }]));
    rows.forEach((row) => Object.assign(row, past.get(row.at)));
    return rows.sort((a, b) => a.at - b.at);
  };

  const columnsOf = (rows, step) => {
    const columns = [[], [], [], [], [], [], []];
    const flagged = [];
    rows.forEach((row, i) => {
      if (i && row.at - rows[i - 1].at > 1.5 * step) { // no line across a gap
        columns.forEach((column, j) => column.push(j ? null : rows[i - 1].at + step));
        flagged.push(false);
      }
      [row.at, row.lower, row.upper, row.expected, row.observed, row.day, row.week].forEach((value, j) => columns[j].push(j ? clamp(value ?? null) : value));
      flagged.push(row.flagged === true);
    });
    return { columns, flagged };
  };

  // --- a chart -------------------------------------------------------------------------------------------------------

  const colours = {};
  const readColours = () => {
    for (const name of ["ink", "expected", "day", "week", "band", "flag", "grid", "axis", "rollout", "warmup"]) colours[name] = page.colour(`chart-${name}`);
    colours.bad = page.colour("bad");
    colours.card = page.colour("card");
  };

  const drawn = new Map(); // element → { plot, rows, place }
  let range = null; // of time, the same for all charts; null: everything

  const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif';
  const ticks = (plot, values) => {
    let before = "";
    return values.map((at) => {
      const text = page.stamp(at);
      const isNew = text.slice(0, 10) !== before && (before !== "" || text.endsWith("00:00"));
      before = text.slice(0, 10);
      return isNew ? text.slice(5, 10) : text.slice(11);
    });
  };
  const sizes = (plot, values) => {
    const gap = values.length > 1 ? Math.abs(values[1] - values[0]) : 0;
    const largest = Math.max(...values.map(Math.abs));
    if (!gap || largest >= 1e7 || (largest && largest < 1e-4)) return values.map((value) => (value ? value.toExponential(1) : "0"));
    let decimals = Math.max(0, -Math.floor(Math.log10(gap) + 1e-9));
    if (Math.abs(gap * 10 ** decimals - Math.round(gap * 10 ** decimals)) > 1e-6) decimals += 1;
    return values.map((value) => (value + 0).toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  };

  const shade = (plot) => { // the release and the spans left out, behind everything
    const { started, finished, observed, leftOut, step } = data();
    const { ctx, bbox } = plot;
    const span = (from, to, colour) => {
      const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
      const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
      if (right <= left) return;
      ctx.fillStyle = colour;
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    };
    ctx.save();
    leftOut.forEach(([from, to]) => span(from, to, colours.warmup));
    span(started, Math.max(finished, started + step / 3), colours.rollout);
    span(Math.max(finished, started + step / 3), observed, colours.warmup);
    ctx.restore();
  };

  const upright = (plot, at, colour, dash, width) => {
    const x = Math.round(plot.valToPos(at, "x", true)) + 0.5;
    const { ctx, bbox } = plot;
    if (x < bbox.left || x > bbox.left + bbox.width) return null;
    ctx.strokeStyle = colour;
    ctx.lineWidth = width * devicePixelRatio;
    ctx.setLineDash(dash.map((each) => each * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    return x;
  };

  const point = (plot, flagged, element) => { // flagged points and the onset, in front of everything
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const [times, , , , observed] = plot.data;
    ctx.save();
    data().marks.forEach((at) => upright(plot, at, colours.axis, [1, 3], 1.2));
    ctx.fillStyle = colours.flag;
    ctx.strokeStyle = colours.card;
    ctx.lineWidth = ratio;
    const radius = 4.2 * ratio;
    times.forEach((at, i) => {
      if (!flagged[i] || observed[i] === null || at < plot.scales.x.min || at > plot.scales.x.max) return;
      const x = plot.valToPos(at, "x", true);
      const y = plot.valToPos(observed[i], "y", true);
      ctx.beginPath();
      ctx.moveTo(x, y - radius); ctx.lineTo(x + radius, y); ctx.lineTo(x, y + radius); ctx.lineTo(x - radius, y); ctx.closePath();
      ctx.fill();
      ctx.stroke();
    });
    const { onset, first, last } = element.dataset;
    if (onset) {
      const x = upright(plot, Number(onset), colours.bad, [4, 3], 1.6);
      if (first !== last) {
        const left = Math.max(bbox.left, plot.valToPos(Number(first), "x", true));
        const right = Math.min(bbox.left + bbox.width, plot.valToPos(Number(last), "x", true));
        ctx.fillStyle = colours.bad;
        if (right > left) ctx.fillRect(left, bbox.top + bbox.height - 3 * ratio, right - left, 3 * ratio);
      }
      if (x !== null) {
        ctx.font = FONT.replace("11px", `600 ${12 * ratio}px`);
        ctx.fillStyle = colours.bad;
        ctx.textBaseline = "top";
        const since = data().calendar ? page.stamp(Number(onset)).slice(0, 10) : page.clock(Number(onset), data().started);
        const late = x + 6 * ratio + ctx.measureText(`since ${since}`).width > bbox.left + bbox.width; // no room on its right
        ctx.textAlign = late ? "right" : "left";
        ctx.fillText(`since ${since}`, x + (late ? -6 : 6) * ratio, bbox.top + 2 * ratio);
      }
    }
    ctx.restore();
  };

  const earlier = { day: false, week: false }; // whether the same hours before are shown
  const words = (row) => [
    page.stamp(row.at).slice(5),
    `observed ${page.number(row.observed)}`,
    ...(row.judged ? [`expected ${page.number(row.expected)}`, `usual range ${page.number(row.lower)} to ${page.number(row.upper)}`] : ["not judged"]),
    ...(row.flagged ? ["outside the range"] : []),
    ...(earlier.day ? [`a day before ${page.number(row.day)}`] : []),
    ...(earlier.week ? [`a week before ${page.number(row.week)}`] : []),
  ].join(" · ");

  const whole = (rows) => {
    const { end, step } = data();
    return [rows[0].at, Math.max(end, rows.at(-1).at + step)];
  };

  const draw = (element) => {
    if (drawn.has(element)) return drawn.get(element);
    const rows = rowsOf(data().series[Number(element.dataset.series)]);
    if (!rows.length) return null;
    if (!colours.ink) readColours();
    const { columns, flagged } = columnsOf(rows, data().step);
    const entry = { rows, place: -1 };
    const readout = element.nextElementSibling;
    const small = element.clientHeight < 200;
    const axis = { stroke: () => colours.axis, font: FONT, ticks: { show: false }, grid: { stroke: () => colours.grid, width: 1 } };
    entry.plot = new uPlot({
      width: element.clientWidth,
      height: element.clientHeight,
      padding: [6, 18, 0, 0],
      legend: { show: false },
      tzDate: (at) => (page.zone() ? uPlot.tzDate(new Date(at * 1000), page.zone()) : new Date(at * 1000)),
      cursor: {
        y: false,
        points: { size: 7, fill: () => colours.ink },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => zoomTo(null) },
      },
      scales: {
        x: { time: true, range: () => range ?? whole(rows) },
        y: { range: (plot, low, high) => (low === null ? [0, 1] : uPlot.rangeNum(low, high, element.dataset.onset ? { min: { pad: 0.06 }, max: { pad: 0.16 } } : 0.08, true)) },
      },
      axes: [
        { ...axis, grid: { show: false }, values: ticks, space: small ? 60 : 70, size: 28, gap: 8 },
        { ...axis, values: sizes, space: small ? 32 : 44, size: (plot, values) => 14 + 6.2 * Math.max(2, ...(values ?? []).map((text) => text.length)) },
      ],
      series: [
        {},
        { stroke: () => "transparent", points: { show: false } },
        { stroke: () => "transparent", points: { show: false } },
        { stroke: () => colours.expected, width: 1.6, dash: [6, 4], points: { show: false } },
        { stroke: () => colours.ink, width: small ? 1.4 : 1.7, points: { show: false } },
        { stroke: () => colours.day, width: 1.2, points: { show: false }, show: earlier.day },
        { stroke: () => colours.week, width: 1.2, dash: [2, 2], points: { show: false }, show: earlier.week },
      ],
      bands: [{ series: [2, 1], fill: () => colours.band }],
      hooks: {
        drawClear: [shade],
        draw: [(plot) => point(plot, flagged, element)],
        setSelect: [(plot) => {
          if (plot.select.width > 4) {
            zoomTo([plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")]);
            plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          }
        }],
        setCursor: [(plot) => {
          const at = plot.cursor.idx === null ? undefined : plot.data[0][plot.cursor.idx];
          entry.place = rows.findIndex((row) => row.at === at);
          readout.textContent = entry.place < 0 ? "\u00a0" : words(rows[entry.place]);
        }],
      },
    }, columns, element);
    drawn.set(element, entry);
    element.dataset.drawn = "";
    return entry;
  };

  // --- the same hours before, on demand ---------------------------------------------------------------------------------

  all("[data-earlier]").forEach((button) => button.addEventListener("click", () => {
    const name = button.dataset.earlier;
    earlier[name] = !earlier[name];
    button.setAttribute("aria-pressed", String(earlier[name]));
    drawn.forEach(({ plot }) => plot.setSeries(name === "day" ? 5 : 6, { show: earlier[name] }));
  }));

  // --- zoom, the same for all charts ------------------------------------------------------------------------------------

  const resetButton = document.querySelector('[data-zoom="all"]');
  const zoomTo = (wanted) => {
    if (wanted && wanted[1] - wanted[0] < LEAST_ZOOM * data().step) {
      const middle = (wanted[0] + wanted[1]) / 2;
      wanted = [middle - (LEAST_ZOOM / 2) * data().step, middle + (LEAST_ZOOM / 2) * data().step];
    }
    range = wanted;
    resetButton.disabled = range === null;
    resetButton.dataset.range = range ? range.map((at) => Math.round(at)).join(" ") : "";
    drawn.forEach(({ plot, rows }) => {
      const [min, max] = range ?? whole(rows);
      plot.setScale("x", { min, max });
    });
    page.say(range ? `showing ${page.stamp(range[0])} to ${page.stamp(range[1])}` : "showing all times");
  };
  const zoomBy = (factor, around) => {
    const rows = [...drawn.values()][0]?.rows;
    if (!rows) return;
    const [from, to] = whole(rows);
    const [low, high] = range ?? [from, to];
    const middle = around ?? (low + high) / 2;
    const next = [Math.max(from, middle - (middle - low) * factor), Math.min(to, middle + (high - middle) * factor)];
    zoomTo(next[0] <= from && next[1] >= to ? null : next);
  };
  const onset = () => { // the place to zoom in on
    const marked = all(".chart[data-onset]").find((element) => drawn.has(element));
    return marked ? Number(marked.dataset.onset) : data().started;
  };
  document.querySelector('[data-zoom="in"]').addEventListener("click", () => zoomBy(0.5, range ? undefined : onset()));
  document.querySelector('[data-zoom="out"]').addEventListener("click", () => zoomBy(2));
  resetButton.addEventListener("click", () => zoomTo(null));

  const read = (entry, place) => {
    const row = entry.rows[Math.max(0, Math.min(entry.rows.length - 1, place))];
    entry.plot.setCursor({ left: entry.plot.valToPos(row.at, "x"), top: 0 });
    page.say(words(row));
  };
  document.getElementById("cards").addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("chart") || event.ctrlKey || event.metaKey || event.altKey) return;
    const entry = draw(event.target);
    if (!entry) return;
    const at = entry.place < 0 ? entry.rows.findIndex((row) => row.judged) - 1 : entry.place;
    const here = entry.place < 0 ? undefined : entry.rows[entry.place].at;
    const keys = {
      ArrowRight: () => read(entry, at + 1), ArrowLeft: () => read(entry, at - 1),
      PageDown: () => read(entry, at + 12), PageUp: () => read(entry, at - 12),
      Home: () => read(entry, 0), End: () => read(entry, entry.rows.length - 1),
      "+": () => zoomBy(0.5, here), "=": () => zoomBy(0.5, here), "-": () => zoomBy(2, here), Escape: () => zoomTo(null), 0: () => zoomTo(null),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  // --- draw on scroll ----------------------------------------------------------------------------------------------------

  const charts = all(".chart");
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        seen.unobserve(target);
        draw(target);
      }
    }
  }, { rootMargin: "240px" });
  const sized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const plot = drawn.get(target)?.plot;
      if (plot && target.clientWidth && (plot.width !== target.clientWidth || plot.height !== target.clientHeight)) {
        plot.setSize({ width: target.clientWidth, height: target.clientHeight });
      }
    }
  });
  charts.forEach((chart) => { seen.observe(chart); sized.observe(chart); });

  addEventListener("beforeprint", () => charts.forEach((chart) => { if (chart.clientWidth) draw(chart); }));

  page.onChange((what) => {
    if (what === "theme") readColours();
    drawn.forEach(({ plot }) => plot.redraw(false, true));
    if (what === "zone") all(".data[open]").forEach(fill);
  });

  // --- the data table behind a chart --------------------------------------------------------------------------------------

  const fill = (table) => {
    const body = table.querySelector("tbody");
    const rows = rowsOf(data().series[Number(table.dataset.series)]).map((row) => {
      const line = document.createElement("tr");
      const cells = [
        page.stamp(row.at), page.number(row.observed),
        ...(row.judged ? [row.expected, row.lower, row.upper, row.z].map(page.number) : ["", "", "", ""]),
        row.judged ? (row.flagged ? "◆ outside" : "inside") : "not judged",
      ];
      cells.forEach((text, i) => {
        const cell = document.createElement(i ? "td" : "th");
        if (!i) cell.scope = "row";
        cell.textContent = text;
        line.append(cell);
      });
      return line;
    });
    body.replaceChildren(...rows);
  };
  all(".data").forEach((table) => table.addEventListener("toggle", () => { if (table.open) fill(table); }));

  // --- filter, search, sort -------------------------------------------------------------------------------------------------

  const box = document.getElementById("cards");
  const cards = all(".card").map((element) => ({
    element,
    name: element.querySelector("h3").textContent.toLowerCase(),
    text: () => `${element.querySelector("h3").textContent} ${element.querySelector("pre")?.textContent ?? ""}`.toLowerCase(),
    of: (key) => Number(element.dataset[key]),
  }));
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  const buttons = all("[data-filter]");
  let wanted = "all";

  const filter = () => {
    const parts = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const card of cards) {
      const fits = (wanted === "all" || card.element.dataset.group === wanted) && parts.every((part) => card.text().includes(part));
      card.element.hidden = !fits;
      count += fits;
    }
    document.getElementById("none").hidden = count > 0;
    shown.textContent = count === cards.length ? `${count} series` : `${count} of ${cards.length} series`;
    page.say(shown.textContent);
  };
  const choose = (name) => {
    wanted = name;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.filter === name)));
    filter();
  };
  buttons.forEach((button) => button.addEventListener("click", () => choose(button.dataset.filter)));
  search.addEventListener("input", filter);
  document.getElementById("clear").addEventListener("click", () => { search.value = ""; choose("all"); search.focus(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });

  const orders = {
    rank: (a, b) => a.of("rank") - b.of("rank"),
    size: (a, b) => b.of("size") - a.of("size") || a.of("rank") - b.of("rank"),
    p: (a, b) => a.of("p") - b.of("p") || a.of("rank") - b.of("rank"),
    weight: (a, b) => b.of("weight") - a.of("weight") || a.of("rank") - b.of("rank"),
    name: (a, b) => a.name.localeCompare(b.name),
  };
  document.getElementById("sort").addEventListener("change", (event) => {
    box.append(...[...cards].sort(orders[event.target.value]).map((card) => card.element));
    page.say(`sorted by ${event.target.selectedOptions[0].textContent}`);
  });

  const reveal = () => { // a link to a hidden card clears the filter
    const target = document.getElementById(location.hash.slice(1));
    if (target?.hidden) choose("all");
    target?.scrollIntoView();
  };
  addEventListener("hashchange", reveal);

  page.start();
  document.documentElement.dataset.ready = "";
})();
