// The page of the to-do list: REST for changes, one WebSocket for the list, one for who is here.
const element = (id) => document.getElementById(id);
const say = (text) => { element("message").textContent = text; };

function show(items) {
  element("items").replaceChildren(...items.map(({ id, text, by }) => {
    const line = document.createElement("li");
    const [what, who, done] = ["span", "small", "button"].map((name) => document.createElement(name));
    what.textContent = text;
    who.textContent = by;
    done.textContent = "Done";
    done.onclick = () => fetch(`api/items/${id}`, { method: "DELETE" });
    line.append(what, who, done);
    return line;
  }));
}

// Opens a socket and opens it again, a second later, when it ends.
function live(path, protocol, hear) {
  const socket = new WebSocket(new URL(path, location.href.replace(/^http/, "ws")), protocol);
  socket.onopen = () => say("");
  socket.onmessage = (event) => hear(JSON.parse(event.data));
  socket.onclose = () => {
    say("Connection lost. Trying again.");
    setTimeout(live, 1000, path, protocol, hear);
  };
}

async function enter() {
  const answer = await fetch("api/items");
  if (!answer.ok) return;
  show(await answer.json());
  element("login").hidden = true;
  element("list").hidden = false;
  live("live/items", "todo.items", show);
  live("live/people", "todo.people", (names) => { element("people").textContent = names.join(", "); });
}

element("login").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await fetch("login", { method: "POST", body: element("name").value });
  if (answer.ok) enter(); else say("That name cannot be taken.");
};

element("add").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await fetch("api/items", { method: "POST", body: element("text").value });
  if (answer.ok) element("text").value = ""; else say("That cannot be added.");
};

// Who has a cookie already need not log in.
enter();
