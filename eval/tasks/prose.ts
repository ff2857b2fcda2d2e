/**
 * Plain English prose of any length, made from a seed: people who do ordinary things in a small town. It is the haystack of the
 * needle and the text of perplexity if no file is named, so that both run anywhere and the same everywhere. It holds no digit.
 */
import type { Random } from "../problems/random.ts";

const PEOPLE = [
  ...["the baker", "an old fisherman", "the schoolteacher", "her younger brother", "the doctor's wife"],
  ...["a travelling merchant", "the ferryman", "the librarian", "his neighbour", "the carpenter"],
  ...["a girl in a green coat", "the postman", "the mayor", "a retired captain", "the gardener"],
  ...["my grandmother", "the clockmaker", "two students", "the shepherd", "a painter from the coast"],
];
const PLACES = [
  ...["by the river", "behind the church", "at the edge of the market", "in the narrow street"],
  ...["near the old mill", "under the chestnut trees", "on the harbour wall", "in the reading room"],
  ...["beside the stone bridge", "at the end of the garden", "in the back of the shop"],
  ...["above the village", "in the empty square", "outside the station", "along the canal"],
];
const TIMES = [
  ...["Early in the morning", "After the rain had stopped", "On the last day of autumn", "That evening"],
  ...["Long before the bells rang", "When the shops had closed", "In the first week of spring"],
  ...["Towards noon", "As the light began to fade", "On market days", "During the long winter"],
  ...["A few days later", "While the kettle boiled", "Once the boats were in", "Late that night"],
];
const ACTIONS = [
  ...["mended a broken chair", "carried a basket of apples", "wrote a letter to a friend"],
  ...["waited for the afternoon train", "counted the boats in the harbour", "read the newspaper aloud"],
  ...["planted a row of young trees", "lost a silver button", "sang an old song about the sea"],
  ...["looked for the grey cat", "swept the steps", "bought a loaf of dark bread"],
  ...["told a story that nobody believed", "repaired the fence", "watched the swallows"],
  ...["drew a map of the hills", "lit the lamps one by one", "forgot an umbrella"],
  ...["listened to the wind in the chimney", "polished the brass bell"],
];
const REASONS = [
  ...[
    "because the path had been washed away",
    "since nobody else had the time",
    "as it had always been done",
  ],
  ...["although it was already getting cold", "while the children played with a wooden hoop"],
  ...["before anyone could ask why", "so that the others might rest", "as if nothing had happened"],
  ...["although the door had been left open", "until the lantern went out"],
  ...["because a promise had been made years ago", "while the dog slept in the sun"],
];
const THINGS = [
  ...[
    "the road to the hills",
    "the smell of fresh bread",
    "the colour of the water",
    "the sound of the mill",
  ],
  ...["the price of wool", "a letter without a name", "the new roof of the school", "the weather"],
  ...["the silence after the storm", "an unfinished painting", "the garden wall", "a forgotten key"],
];
const QUALITIES = [
  ...[
    "was stranger than anyone remembered",
    "seemed to belong to another time",
    "pleased everyone who passed",
  ],
  ...["had changed very little", "was the subject of every conversation", "reminded people of home"],
  ...["made the day feel shorter", "was not what it had been", "gave them something to talk about"],
  ...["could be noticed from far away", "kept its secret a while longer"],
];

/** Returns one sentence, a full stop at its end. */
function sentence(random: Random): string {
  const [person, other] = random.sample(PEOPLE, 2);
  const [place, action] = [random.choice(PLACES), random.choice(ACTIONS)];
  switch (random.range(0, 6)) {
    case 0:
      return `${random.choice(TIMES)}, ${person} ${action} ${place}.`;
    case 1:
      return `${capital(person)} ${action} ${place}, ${random.choice(REASONS)}.`;
    case 2:
      return `${capital(random.choice(THINGS))} ${random.choice(QUALITIES)}, and ${person} ${action}.`;
    case 3:
      return `${random.choice(TIMES)}, ${random.choice(THINGS)} ${random.choice(QUALITIES)}.`;
    case 4:
      return `${capital(person)} ${action}, and ${other} stood ${place} and said nothing.`;
    default:
      return `It was ${place} that ${person} met ${other}, ${random.choice(REASONS)}.`;
  }
}

/** Returns the next paragraph, three to seven sentences. */
export function paragraph(random: Random): string {
  return Array.from({ length: random.integer(3, 7) }, () => sentence(random)).join(" ");
}

function capital(text: string | undefined): string {
  return text === undefined ? "" : text.charAt(0).toUpperCase() + text.slice(1);
}
