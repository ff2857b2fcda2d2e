import { texts } from "../texts.ts";
import { ProblemCard } from "./problem-card.tsx";

/** What a visitor sees first: what this is, and a problem that one click solves. */
export function FirstScreen() {
  return (
    <div class="first">
      <div>
        <h2 class="headline">{texts.first.heading}</h2>
        <p class="lead">{texts.first.lead}</p>
      </div>
      <ProblemCard />
      <ul class="steps">
        {texts.first.steps.map(([name, about]) => (
          <li key={name}>
            <strong>{name}</strong> {about}
          </li>
        ))}
      </ul>
    </div>
  );
}
