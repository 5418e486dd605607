// The page of the chat. After a break it connects again and asks for what it has missed, by the id of the last message.
const $ = (id) => document.getElementById(id);
const FIRST_WAIT_MS = 200, LONGEST_WAIT_MS = 5000, SHOWN = 500;

let socket, room, name, last = "all", wait = FIRST_WAIT_MS;

function show(message) {
  const line = document.createElement("li");
  if (message.name === name) line.className = "own";
  const by = document.createElement("small");
  by.textContent = `${message.name}, ${new Date(message.time * 1000).toLocaleTimeString()}`;
  const text = document.createElement("span");
  text.textContent = message.text;
  line.append(by, text);
  $("said").append(line);
  while ($("said").children.length > SHOWN) $("said").firstChild.remove();
  line.scrollIntoView();
}

const received = {
  joined({ by }) {
    wait = FIRST_WAIT_MS;
    $("join").hidden = true;
    $("chat").hidden = false;
    $("title").textContent = room;
    $("state").textContent = `connected, served by ${/^\d+$/.test(by) ? `worker ${by}` : by}`;
    $("message").textContent = "";
    $("text").focus();
  },
  said(message) {
    last = message.id;
    show(message);
  },
  people({ names }) {
    $("people").textContent = names.join(", ");
  },
  // More was said than is kept: begin anew.
  gone() {
    $("said").replaceChildren();
    last = "all";
    socket.close();
  },
  refused({ why }) {
    $("message").textContent = why;
  },
};

function connect() {
  socket = new WebSocket(location.href.replace(/^http/, "ws"), "chat");
  socket.onopen = () => socket.send(["join", room, name, last].join("\n"));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    received[message.type](message);
  };
  socket.onclose = () => {
    $("state").textContent = "not connected, trying again";
    setTimeout(connect, wait * (0.5 + Math.random()));
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  };
}

$("join").onsubmit = (event) => {
  event.preventDefault();
  room = $("room").value.trim();
  name = $("name").value.trim();
  if (!socket) connect();
  else if (socket.readyState === WebSocket.OPEN) socket.onopen();
};

$("say").onsubmit = (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(`say\n${$("text").value}`);
  $("text").value = "";
};
