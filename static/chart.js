// Spend by day and model, stacked. The figures are read from the table on the page, so both always agree; what is drawn is
// approximate by nature, what is written comes from the table's own text.

const COLOURS = {
  light: ["#0f766e", "#d97706", "#4f46e5", "#be185d", "#0284c7", "#65a30d", "#78716c"],
  dark: ["#2dd4bf", "#fbbf24", "#818cf8", "#f472b6", "#38bdf8", "#a3e635", "#a8a29e"],
};

const isDark = () => {
  const chosen = document.documentElement.dataset.bsTheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

// Stripes, dots and the like tell models apart without colour.
function pattern(colour, place) {
  if (place === 0) return colour;
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.fillStyle = colour;
  pen.globalAlpha = 0.35;
  pen.fillRect(0, 0, 8, 8);
  pen.globalAlpha = 1;
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  const lines = [
    [],
    [[0, 8, 8, 0], [-2, 2, 2, -2], [6, 10, 10, 6]],
    [[0, 2, 8, 2], [0, 6, 8, 6]],
    [[0, 0, 8, 8], [-2, 6, 2, 10], [6, -2, 10, 2]],
    [[2, 0, 2, 8], [6, 0, 6, 8]],
    [[0, 4, 8, 4], [4, 0, 4, 8]],
    [[0, 0, 8, 8], [0, 8, 8, 0]],
  ][place % 7];
  for (const [x1, y1, x2, y2] of lines) {
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
    pen.stroke();
  }
  return pen.createPattern(tile, "repeat");
}

// Days without requests have no row in the table, and a place in the chart all the same.
function daysOf(table) {
  const days = [];
  const last = Date.parse(table.dataset.last);
  for (let day = Date.parse(table.dataset.first); day <= last; day += 86400000) {
    days.push(new Date(day).toISOString().slice(0, 10));
  }
  return days;
}

function figures(table) {
  const models = [...table.querySelectorAll("thead th[data-model]")].map((head) => head.textContent.trim());
  const rows = daysOf(table).map((day) => [day, table.querySelector(`tr[data-day="${day}"]`)]);
  return {
    models,
    days: rows.map(([day]) => day),
    cells: models.map((_, place) =>
      rows.map(([, row]) => {
        const cell = row?.querySelectorAll("td[data-nanos]")[place];
        return cell ? { y: Number(cell.dataset.nanos) / 1e9, text: cell.textContent.trim() } : { y: 0, text: "" };
      }),
    ),
    totals: rows.map(([, row]) => row?.querySelector("[data-total]").textContent.trim() ?? "$0.00"),
  };
}

function options(data) {
  const muted = isDark() ? "#a1a1aa" : "#63636e";
  const line = isDark() ? "#2a2b30" : "#e4e4e7";
  const short = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });
  const font = { family: "Inter, system-ui, sans-serif", size: 11 };
  return {
    animation: false,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    scales: {
      x: {
        stacked: true,
        grid: { display: false },
        border: { color: line },
        ticks: {
          color: muted,
          font,
          maxRotation: 0,
          autoSkipPadding: 24,
          callback: (place) => short.format(new Date(data.days[place])),
        },
      },
      y: {
        stacked: true,
        beginAtZero: true,
        border: { display: false },
        grid: { color: line },
        ticks: { color: muted, font, maxTicksLimit: 5, callback: (value) => `$${Number(value.toPrecision(6))}` },
      },
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        padding: 10,
        boxPadding: 4,
        filter: (item) => item.raw.y > 0,
        callbacks: {
          title: (items) => (items.length ? short.format(new Date(data.days[items[0].dataIndex])) : ""),
          label: (item) => ` ${item.dataset.label}  ${item.raw.text}`,
          footer: (items) => (items.length ? `Total  ${data.totals[items[0].dataIndex]}` : ""),
        },
      },
    },
  };
}

function draw(canvas) {
  const data = figures(document.querySelector(canvas.dataset.table));
  const colours = COLOURS[isDark() ? "dark" : "light"];
  const datasets = data.models.map((model, place) => ({
    label: model,
    data: data.cells[place].map((cell, day) => ({ x: data.days[day], ...cell })),
    backgroundColor: pattern(colours[place % 7], place),
    borderColor: colours[place % 7],
    borderWidth: place ? { top: 1 } : 0,
    maxBarThickness: 22,
  }));
  window.Chart.getChart(canvas)?.destroy();
  new window.Chart(canvas, { type: "bar", data: { labels: data.days, datasets }, options: options(data) });
  legend(canvas, data.models, colours);
}

function legend(canvas, models, colours) {
  const list = document.querySelector(canvas.dataset.legend);
  list.replaceChildren(
    ...models.map((model, place) => {
      const entry = document.createElement("li");
      const swatch = document.createElement("canvas");
      swatch.width = swatch.height = 12;
      const pen = swatch.getContext("2d");
      pen.fillStyle = pattern(colours[place % 7], place);
      pen.fillRect(0, 0, 12, 12);
      entry.append(swatch, model);
      return entry;
    }),
  );
}

function drawAll() {
  for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
    const drawn = `${isDark()} ${document.querySelector(canvas.dataset.table).textContent}`;
    if (canvas.drawn !== drawn) draw(canvas);
    canvas.drawn = drawn;
  }
}

document.addEventListener("keymeter:theme", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.addEventListener("htmx:afterSettle", drawAll);
drawAll();
