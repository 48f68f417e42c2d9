// The charts, drawn when they scroll into view; the filter, order and search of the KPIs. Of a large report, rows of the
// table and cards that are not in the page are made as they are looked at: texts of the report's data are set as text, and
// the one markup among them (`line`) was made and escaped in Python.

(async () => {
  const FARTHEST = 1e100; // values beyond it would overflow the limits of an axis
  const LEAST_ZOOM = 4; // steps
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const seconds = (text) => Date.parse(text) / 1000;

  // --- the data ------------------------------------------------------------------------------------------------------------

  const embedded = JSON.parse(document.getElementById("data").textContent);
  const unpacked = async (text) => {
    const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  };
  let whole = embedded;
  if (embedded.packed) {
    if (!("DecompressionStream" in window)) { // of browsers before 2023
      document.getElementById("rest").textContent = "This browser can't unpack the data of this page: no charts, no search; a newer one can.";
      page.start();
      return;
    }
    await new Promise((next) => { setTimeout(next); }); // the page shows first
    whole = await unpacked(embedded.packed);
  }
  const { report, series, findings, rows: known } = whole; // `findings` are columns, and `known` is there, if the data are packed
  const step = report.windows.step_s;
  const calendar = Boolean(report.windows.timezone); // steps are days, weeks or months
  const started = seconds(report.release.started_at);
  const finished = seconds(report.release.finished_at);
  const observed = seconds(report.windows.observation.start);
  const end = seconds(report.windows.observation.end);
  const marks = [...report.release.stages.slice(1).map((each) => seconds(each.at)), ...report.confounders.map((each) => seconds(each.started_at))];
  const leftOut = report.left_out.map((each) => [seconds(each.start), seconds(each.end)]);

  // --- one series as rows --------------------------------------------------------------------------------------------

  const clamp = (value) => (value === null ? null : Math.max(-FARTHEST, Math.min(FARTHEST, value)));

  const rowsOf = (place) => {
    const own = series[place];
    const before = own.around; // reports of earlier versions do not say what was expected there
    const rows = before.time.map((at, i) => ({
      at, observed: before.observed[i], expected: before.expected?.[i], lower: before.lower?.[i], upper: before.upper?.[i], judged: false,
    }));
    own.time.forEach((at, i) => rows.push({
      at, observed: own.observed[i], expected: own.expected[i], lower: own.lower[i], upper: own.upper[i], z: own.z[i],
      flagged: Boolean(own.flagged[i]), judged: true,
    }));
    const past = new Map((own.earlier?.time ?? []).map((at, i) => [at, { day: own.earlier.day[i], week: own.earlier.week[i] }]));
    rows.forEach((row) => Object.assign(row, past.get(row.at)));
    return rows.sort((a, b) => a.at - b.at);
  };

  const columnsOf = (rows) => {
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
    const { ctx, bbox } = plot;
    const fill = (from, to, colour) => {
      const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
      const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
      if (right <= left) return;
      ctx.fillStyle = colour;
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    };
    ctx.save();
    leftOut.forEach(([from, to]) => fill(from, to, colours.warmup));
    fill(started, Math.max(finished, started + step / 3), colours.rollout);
    fill(Math.max(finished, started + step / 3), observed, colours.warmup);
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
    const [times, , , , values] = plot.data;
    ctx.save();
    marks.forEach((at) => upright(plot, at, colours.axis, [1, 3], 1.2));
    ctx.fillStyle = colours.flag;
    ctx.strokeStyle = colours.card;
    ctx.lineWidth = ratio;
    const radius = 4.2 * ratio;
    times.forEach((at, i) => {
      if (!flagged[i] || values[i] === null || at < plot.scales.x.min || at > plot.scales.x.max) return;
      const x = plot.valToPos(at, "x", true);
      const y = plot.valToPos(values[i], "y", true);
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
        const since = calendar ? page.stamp(Number(onset)).slice(0, 10) : page.clock(Number(onset), started);
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
    ...(row.judged || Number.isFinite(row.expected) ? [`expected ${page.number(row.expected)}`, `usual range ${page.number(row.lower)} to ${page.number(row.upper)}`] : []),
    ...(row.judged ? [] : ["not judged"]),
    ...(row.flagged ? ["outside the range"] : []),
    ...(earlier.day ? [`a day before ${page.number(row.day)}`] : []),
    ...(earlier.week ? [`a week before ${page.number(row.week)}`] : []),
  ].join(" · ");

  const span = (rows) => [rows[0].at, Math.max(end, rows.at(-1).at + step)];

  const draw = (element) => {
    if (drawn.has(element)) return drawn.get(element);
    const rows = rowsOf(Number(element.dataset.series));
    if (!rows.length) return null;
    if (!colours.ink) readColours();
    const { columns, flagged } = columnsOf(rows);
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
        x: { time: true, range: () => range ?? span(rows) },
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
    if (wanted && wanted[1] - wanted[0] < LEAST_ZOOM * step) {
      const middle = (wanted[0] + wanted[1]) / 2;
      wanted = [middle - (LEAST_ZOOM / 2) * step, middle + (LEAST_ZOOM / 2) * step];
    }
    range = wanted;
    resetButton.disabled = range === null;
    resetButton.dataset.range = range ? range.map((at) => Math.round(at)).join(" ") : "";
    drawn.forEach(({ plot, rows }) => {
      const [min, max] = range ?? span(rows);
      plot.setScale("x", { min, max });
    });
    page.say(range ? `showing ${page.stamp(range[0])} to ${page.stamp(range[1])}` : "showing all times");
  };
  const zoomBy = (factor, around) => {
    const rows = [...drawn.values()][0]?.rows;
    if (!rows) return;
    const [from, to] = span(rows);
    const [low, high] = range ?? [from, to];
    const middle = around ?? (low + high) / 2;
    const next = [Math.max(from, middle - (middle - low) * factor), Math.min(to, middle + (high - middle) * factor)];
    zoomTo(next[0] <= from && next[1] >= to ? null : next);
  };
  const onset = () => { // the place to zoom in on
    const marked = all(".chart[data-onset]").find((element) => drawn.has(element));
    return marked ? Number(marked.dataset.onset) : started;
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
  const watch = (chart) => { seen.observe(chart); sized.observe(chart); };
  all(".chart").forEach(watch);

  addEventListener("beforeprint", () => all(".chart").forEach((chart) => { if (chart.clientWidth) draw(chart); }));

  page.onChange((what) => {
    if (what === "theme") readColours();
    drawn.forEach(({ plot }) => plot.redraw(false, true));
    if (what === "zone") all(".data[open]").forEach(fillTable);
  });

  // --- the data table behind a chart --------------------------------------------------------------------------------------

  const fillTable = (table) => {
    const body = table.querySelector("tbody");
    const rows = rowsOf(Number(table.dataset.series)).map((row) => {
      const line = document.createElement("tr");
      const cells = [
        page.stamp(row.at), page.number(row.observed),
        ...[row.expected, row.lower, row.upper, row.z].map((value) => (row.judged || Number.isFinite(value) ? page.number(value) : "")),
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
  const box = document.getElementById("cards");
  box.addEventListener("toggle", ({ target }) => { if (target.open && target.classList.contains("data")) fillTable(target); }, true);

  // --- the findings: those with a card in the page, and all others of a large report ---------------------------------------

  const entryOf = (element) => ({
    element,
    anchor: element.id,
    group: element.dataset.group,
    rank: Number(element.dataset.rank),
    size: Number(element.dataset.size),
    p: Number(element.dataset.p),
    weight: Number(element.dataset.weight),
    name: element.querySelector("h3").textContent.toLowerCase(),
    text: () => `${element.querySelector("h3").textContent} ${element.querySelector("pre")?.textContent ?? ""}`.toLowerCase(),
  });
  const queryOf = (place) => page.plain([findings.query[place], findings.denominator[place]].filter(Boolean).join("\n/\n"));
  const titleOf = (row) => known.name[row] + (known.part[row] ? ` ${known.part[row]}` : "");
  const entryAt = (row) => { // the finding with that rank - 1
    const place = known.finding[row];
    const [group] = known.kinds[known.kind[row]];
    const anchor = `kpi-${row + 1}`;
    return {
      row, place, group, anchor,
      element: document.getElementById(anchor),
      rank: row + 1,
      size: Math.abs(findings.effect[place] ?? 0),
      p: findings.p_value[place] ?? 2,
      weight: findings.weight[place],
      name: titleOf(row).toLowerCase(),
      text: () => `${titleOf(row)} ${queryOf(place)}`.toLowerCase(),
    };
  };
  const entries = known ? known.name.map((_, row) => entryAt(row)) : all(".card").map(entryOf);
  const most = known ? all(".card").length : entries.length; // cards that are shown at a time

  const pill = (element, row) => {
    const [, tone, shape, word] = known.kinds[known.kind[row]];
    element.classList.add(tone);
    element.firstElementChild.textContent = shape;
    element.querySelector(".word").textContent = word;
  };
  const copy = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);
  const listed = (list, pairs) => pairs.filter(([, text]) => text).forEach(([name, text, bold]) => {
    const pair = document.createElement("div");
    const [term, told] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = page.plain(name);
    const inner = bold ? told.appendChild(document.createElement("b")) : told;
    inner.textContent = page.plain(text);
    pair.append(term, told);
    list.append(pair);
  });
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  const made = ({ row, place, anchor }) => { // the card of a finding that has none in the page
    const card = copy("card");
    const find = (selector) => card.querySelector(selector);
    const name = titleOf(row);
    const [, tone, , word] = known.kinds[known.kind[row]];
    card.id = anchor;
    card.classList.add(tone);
    card.dataset.made = "";
    card.setAttribute("aria-labelledby", `${anchor}-name`);
    find("h3").id = `${anchor}-name`;
    find("h3").textContent = `${known.name[row]} `;
    const part = find("h3").appendChild(document.createElement("span"));
    part.className = "part";
    part.textContent = known.part[row];
    pill(find(".pill"), row);
    find(".size b").textContent = known.size[row];
    find(".interval").textContent = known.interval[row];
    find(".size").hidden = !known.size[row];
    find(".brief").innerHTML = known.line[row];
    all("summary .hidden", card).forEach((each) => { each.textContent = ` of ${name}`; });
    const unit = findings.unit[place];
    listed(find(".facts"), [
      ["reason", findings.reason[place]],
      ["p-value", known.p[row]],
      ["unit", unit],
      ["steps", `${findings.steps[place]} of ${findings.steps_planned[place]}`],
      ["weight", page.number(findings.weight[place]) + (findings.critical[place] ? ", critical" : "")],
      ...findings.notes[place].map((note) => ["note", note]),
    ]);
    find("pre").textContent = queryOf(place);
    find("pre").setAttribute("aria-label", `Query of ${name}`);
    const link = findings.link[place];
    if (/^https?:\/\/[\x21-\x7e]+$/.test(link)) find(".link a").href = link;
    else find(".link").remove();
    const evidence = Object.entries(findings.evidence[place]);
    listed(find(".evidence"), evidence.map(([each, value]) => [each, typeof value === "string" ? value : page.number(value), true]));
    const points = known.series[row];
    const chart = find(".chart");
    if (points === null) {
      [chart, find(".readout"), find(".data")].forEach((each) => each.remove());
      const [explain, check] = all(".nothing code", card);
      explain.textContent = `anomaly explain CHECKLIST ${quoted(known.name[row])}`;
      check.textContent = `anomaly check CHECKLIST --only ${quoted(known.name[row])} --report FILE`;
      if (!findings.steps[place]) find(".nothing").textContent = "no data observed";
    } else {
      find(".nothing").remove();
      chart.dataset.series = find(".data").dataset.series = points;
      chart.setAttribute("aria-label", `Chart of ${name}: ${word} ${known.size[row]}. Use the arrow keys to read values, plus and minus to zoom, Escape to reset. The data table is under Details.`);
      find(".data .scroll").setAttribute("aria-label", `Data of ${name}`);
      find("caption").textContent = `${name}, step by step`;
      if (findings.onset[place]) {
        const [first, last] = findings.onset_interval[place] ?? [findings.onset[place], findings.onset[place]];
        Object.assign(chart.dataset, { onset: seconds(findings.onset[place]), first: seconds(first), last: seconds(last) });
      }
      watch(chart);
    }
    page.showTimes(card);
    return card;
  };
  const discard = (entry) => {
    all(".chart", entry.element).forEach((chart) => {
      seen.unobserve(chart);
      sized.unobserve(chart);
      drawn.get(chart)?.plot.destroy();
      drawn.delete(chart);
    });
    entry.element.remove();
    entry.element = null;
  };

  // --- filter, search, sort -------------------------------------------------------------------------------------------------

  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  const rest = document.getElementById("rest");
  const buttons = all("[data-filter]");
  const byRank = (a, b) => a.rank - b.rank;
  const byName = new Intl.Collator().compare;
  const orders = {
    rank: byRank,
    size: (a, b) => b.size - a.size || byRank(a, b),
    p: (a, b) => a.p - b.p || byRank(a, b),
    weight: (a, b) => b.weight - a.weight || byRank(a, b),
    name: (a, b) => byName(a.name, b.name) || byRank(a, b),
  };
  const count = (number) => number.toLocaleString("en-US");
  let wanted = "all";
  let order = "rank";
  let fitting = entries; // in their order
  let picked = null; // an entry that is shown whatever else is

  const isUntouched = () => wanted === "all" && order === "rank" && !search.value.trim();
  const showCards = () => {
    // at first the cards that the page came with, which are not the first by rank alone
    const first = known && isUntouched() ? entries.filter((entry) => entry.element && !("made" in entry.element.dataset)) : fitting.slice(0, most);
    const chosen = new Set(picked ? [picked, ...first] : first);
    for (const entry of entries) {
      if (!entry.element) continue;
      if ("made" in entry.element.dataset && !chosen.has(entry)) discard(entry);
      else entry.element.hidden = !chosen.has(entry);
    }
    const cards = [...chosen].map((entry) => (entry.element ??= made(entry)));
    const present = [...box.children].filter((card) => !card.hidden);
    if (cards.length !== present.length || cards.some((card, i) => card !== present[i])) box.append(...cards);
    if (rest) rest.textContent = fitting.length > first.length ? `${count(first.length)} of ${count(fitting.length)} series have a card here${isUntouched() ? ": what failed or has no verdict, what moved, the totals, the most used" : ""}. The table has all of them; a name in it opens a card.` : "";
  };
  const filter = () => {
    const parts = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    fitting = entries.filter((entry) => (wanted === "all" || entry.group === wanted) && (!parts.length || fits(entry, parts))).sort(orders[order]);
    showCards();
    document.getElementById("none").hidden = fitting.length > 0;
    shown.textContent = fitting.length === entries.length ? `${count(entries.length)} series` : `${count(fitting.length)} of ${count(entries.length)} series`;
    page.say(shown.textContent);
    if (list) { list.scrollTop = 0; fillList(true); }
  };
  const fits = (entry, parts) => {
    entry.words ??= entry.text();
    return parts.every((part) => entry.words.includes(part));
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
  document.getElementById("sort").addEventListener("change", (event) => {
    order = event.target.value;
    filter();
    page.say(`sorted by ${event.target.selectedOptions[0].textContent}`);
  });

  // --- the table of a large report: only the rows in view are there ----------------------------------------------------------

  const ROW = 34; // pixels, as in the style
  const BEYOND = 8; // rows above and below those in view
  const list = document.getElementById("list");
  const lines = new Map(); // place in `fitting` → row
  const line = (place) => {
    const entry = fitting[place];
    const element = copy("row");
    element.setAttribute("aria-rowindex", place + 2);
    const [name, verdict, effect, p, seenAs] = element.children;
    name.firstElementChild.href = `#${entry.anchor}`;
    name.firstElementChild.textContent = name.title = titleOf(entry.row);
    pill(verdict.firstElementChild, entry.row);
    effect.textContent = [known.size[entry.row], known.interval[entry.row]].filter(Boolean).join(" ");
    p.textContent = known.p[entry.row];
    seenAs.innerHTML = known.line[entry.row];
    seenAs.title = seenAs.textContent;
    page.showTimes(element);
    return element;
  };
  const fillList = (anew) => {
    const [above, below] = all(".space", list);
    if (anew) {
      lines.forEach((element) => element.remove());
      lines.clear();
    }
    const from = Math.max(0, Math.min(Math.floor(list.scrollTop / ROW) - BEYOND, fitting.length));
    const to = Math.min(fitting.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + BEYOND);
    lines.forEach((element, place) => {
      if (place < from || place >= to) {
        element.remove();
        lines.delete(place);
      }
    });
    let next = below;
    for (let place = to - 1; place >= from; place -= 1) {
      if (!lines.has(place)) lines.set(place, line(place));
      const element = lines.get(place);
      if (element.nextElementSibling !== next) below.parentNode.insertBefore(element, next);
      next = element;
    }
    above.firstElementChild.style.height = `${from * ROW}px`;
    below.firstElementChild.style.height = `${(fitting.length - to) * ROW}px`;
    list.firstElementChild.setAttribute("aria-rowcount", fitting.length + 1);
  };
  if (list) {
    list.addEventListener("scroll", () => fillList(false));
    list.addEventListener("focusin", ({ target }) => { // the next rows are there before the next key
      target.closest("tbody tr")?.scrollIntoView({ block: "nearest" });
      fillList(false);
    });
    document.getElementById("every").addEventListener("toggle", () => fillList(true));
    page.onChange((what) => { if (what === "zone") fillList(true); });
    showCards();
  }

  const reveal = () => { // a link to a hidden card clears the filter; one to a card that is not in the page makes it
    const entry = entries.find((each) => each.anchor === location.hash.slice(1));
    if (!entry) return;
    if (!entry.element) {
      picked = entry;
      showCards();
      entry.element.tabIndex = -1;
      entry.element.focus({ preventScroll: true });
    } else if (entry.element.hidden) {
      search.value = "";
      choose("all");
    }
    entry.element.scrollIntoView();
  };
  addEventListener("hashchange", reveal);

  page.start();
  if (known) reveal();
  document.documentElement.dataset.ready = "";
})();
