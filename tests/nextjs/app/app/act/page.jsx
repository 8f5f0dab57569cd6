import { updateTag } from 'next/cache';

export const dynamic = 'force-dynamic';

async function save(form) {
  'use server';
  updateTag(form.get('tag'));
}

// Works without JavaScript: the form's hidden field names the Server Action.
export default function Act() {
  return (
    <form action={save}>
      <input name="tag" />
      <button>save</button>
    </form>
  );
}
